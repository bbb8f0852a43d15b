import { constants } from 'node:os';
import { RipstopError } from '../../base/errors.ts';
import { canonicalAddress } from '../../ip/address.ts';
import { NetError } from '../../net/error.ts';
import { Fib } from '../../net/fib.ts';
import { filterTablesOf } from '../../net/filter/filter-sources.ts';
import type { InputInterface, Route } from '../../net/rtnetlink/routes.ts';
import type { KernelState } from '../trace/kernel/kernel-lookup.ts';
import type { Report } from './bundle.ts';
import { KERNEL_FILES, type KernelFile } from './kernel-shapes.ts';

/** Sources that no packet from elsewhere may have (ip_route_input_slow of the kernel). */
const MARTIAN = /^(0|127|22[4-9]|23\d|24\d|25[0-5])\./;

/**
 * The kernel of a report. Routes are chosen as the kernel chooses them; packets that arrive are checked as by
 * fib_validate_source of Linux.
 * @throws RipstopError EREPORT for a report that lacks a part of it
 */
export function recordedState(report: Report): KernelState {
  const read = <F extends KernelFile>(file: F) =>
    report.read<ReturnType<(typeof KERNEL_FILES)[F]['read']>>(file, KERNEL_FILES[file] as never);
  const links = read('kernel/links.json').map(({ details, ...link }) => ({
    ...link,
    alias: undefined,
    details: Object.fromEntries(Object.entries(details).filter(([, value]) => value !== undefined)),
  }));
  const addresses = read('kernel/addresses.json');
  const neighbours = read('kernel/neighbours.json');
  const forwarding = read('kernel/forwarding.json');
  const sysctls = new Map(Object.entries(read('kernel/sysctls.json')));
  const fib = new Fib(read('kernel/routes.json'), read('kernel/rules.json'));
  const toPeers = new Map(
    read('kernel/peer-routes.json').map(({ address, route }) => [canonicalAddress(address), route]),
  );

  const sysctl = (name: string): string => {
    const value = sysctls.get(name);
    if (value !== undefined && value !== null) return value;
    throw new RipstopError('EREPORT', `the report does not have the kernel setting ${name}`);
  };

  const routeOfArrival = (
    destination: string,
    { source, link }: InputInterface,
    doubt: (text: string) => void,
  ): Route => {
    const input = links.find(({ index }) => index === link)?.name ?? '';
    const refuse = (errno: number) => new NetError(errno, `look up the route to ${destination}`);
    if (MARTIAN.test(source)) throw refuse(constants.errno.EINVAL);
    const route = fib.lookUp({ destination, source, input }, doubt);
    if (source.includes(':')) return route;
    const filter = Math.max(
      ...['all', input].map(scope => Number(sysctl(`net/ipv4/conf/${scope}/rp_filter`))),
    );
    let back: Route | undefined;
    try {
      back = fib.lookUp({ destination: source, source: destination }, doubt);
    } catch (error) {
      if (!(error instanceof NetError)) throw error;
    }
    if (back?.type === 'local') throw refuse(constants.errno.EINVAL);
    // Linux before 6.13 says EXDEV, later ones EINVAL.
    if ((filter === 1 && back?.link !== link) || (filter === 2 && !back)) throw refuse(constants.errno.EXDEV);
    return route;
  };

  return {
    route(address, arrival, doubt) {
      if (arrival) return routeOfArrival(address, arrival, doubt);
      return toPeers.get(canonicalAddress(address)) ?? fib.lookUp({ destination: address }, doubt);
    },
    link: wanted => links.find(({ index, name }) => wanted === index || wanted === name),
    neighbours: link => neighbours.filter(one => one.link === link),
    fdb: link => (link === undefined ? forwarding : forwarding.filter(one => one.link === link)),
    addresses: (link, family) => addresses.filter(one => one.link === link && one.family === family),
    sysctl,
    filterTables: async () => filterTablesOf(read('kernel/firewall.json')),
  };
}
