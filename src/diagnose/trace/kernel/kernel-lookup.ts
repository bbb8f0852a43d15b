import { canonicalAddress } from '../../../ip/address.ts';
import type { FilterTable } from '../../../net/filter/model.ts';
import type { InterfaceAddress } from '../../../net/rtnetlink/addresses.ts';
import type { FdbEntry } from '../../../net/rtnetlink/fdb.ts';
import type { Link } from '../../../net/rtnetlink/links.ts';
import type { Neighbour } from '../../../net/rtnetlink/neighbours.ts';
import type { InputInterface, Route } from '../../../net/rtnetlink/routes.ts';

/** The state of a kernel that a trace asks for: that of this node now, or that of a report. */
export interface KernelState {
  /**
   * @param doubt gets what cannot be known from a report about the route, as a sentence
   * @throws NetError as `routeTo`
   */
  route(address: string, arrival: InputInterface | undefined, doubt: (text: string) => void): Route;
  link(nameOrIndex: string | number): Link | undefined;
  neighbours(link: number): readonly Neighbour[];
  /** @param link absent: the entries of all links */
  fdb(link?: number): readonly FdbEntry[];
  addresses(link: number, family: 4 | 6): readonly InterfaceAddress[];
  /** @throws NetError ENOENT, RipstopError EREPORT when there is no such setting */
  sysctl(name: string): string;
  /** @throws RipstopError, NetError when the rules could not be read */
  filterTables(): Promise<readonly FilterTable[]>;
}

/** NUD_* of linux/neighbour.h, by bit. */
const STATES: readonly (readonly [number, string])[] = [
  [0x80, 'permanent'],
  [0x40, 'noarp'],
  [0x20, 'failed'],
  [0x10, 'probe'],
  [0x08, 'delay'],
  [0x04, 'stale'],
  [0x02, 'reachable'],
  [0x01, 'incomplete'],
];
/** IFF_NOARP of linux/if.h: a link whose packets need no MAC. */
const IFF_NOARP = 0x80;
const USELESS = ['failed', 'incomplete'];
const SCOPE_LINK = 253;

/** A neighbour entry in words. */
export interface KnownNeighbour {
  readonly mac: string | undefined;
  readonly state: string;
  /** False while the kernel has no MAC for the address: it asks again with the next packet. */
  readonly answers: boolean;
}

/** Queries of the kernel about the path of a packet. Changes nothing. */
export class KernelLookup {
  readonly #state: KernelState;
  readonly #doubts = new Set<string>();
  /** Called once per reason why a route is not certain. */
  onDoubt: (text: string) => void = () => {};

  constructor(state: KernelState) {
    this.#state = state;
  }

  /** @throws NetError as `routeTo` */
  route(address: string, arrival?: InputInterface): Route {
    return this.#state.route(address, arrival, text => {
      if (this.#doubts.has(text)) return;
      this.#doubts.add(text);
      this.onDoubt(text);
    });
  }

  link(nameOrIndex: string | number | undefined): Link | undefined {
    return nameOrIndex === undefined ? undefined : this.#state.link(nameOrIndex);
  }

  /** @returns undefined while the kernel has not asked for the address */
  neighbour(link: number, address: string): KnownNeighbour | undefined {
    const wanted = canonicalAddress(address);
    const entry = this.#state.neighbours(link).find(one => one.address === wanted);
    if (!entry && ((this.link(link)?.flags ?? 0) & IFF_NOARP) !== 0)
      return { mac: undefined, state: 'noarp', answers: true };
    if (!entry) return undefined;
    const state = STATES.find(([bit]) => entry.state & bit)?.[1] ?? 'none';
    return { mac: entry.mac, state, answers: !USELESS.includes(state) };
  }

  /** The port of a bridge behind which a MAC was seen, or the tunnel end of a kernel VXLAN. */
  forwarding(
    mac: string,
    link?: number,
  ): { port: string | undefined; remote: string | undefined } | undefined {
    const entry = this.#state.fdb(link).find(one => one.mac === mac.toLowerCase());
    return entry && { port: this.link(entry.link)?.name, remote: entry.remote };
  }

  /** The address that a masqueraded packet gets when it leaves by the link. */
  addressOn(link: number, family: 4 | 6): string | undefined {
    return this.#state
      .addresses(link, family)
      .filter(address => address.scope !== SCOPE_LINK)
      .map(address => address.prefix.split('/')[0])[0];
  }

  /** Whether this node forwards packets of the family. */
  forwards(family: 4 | 6): { name: string; on: boolean } {
    const name = family === 4 ? 'net/ipv4/ip_forward' : 'net/ipv6/conf/all/forwarding';
    return { name: name.replaceAll('/', '.'), on: this.#state.sysctl(name) !== '0' };
  }

  /** The same for packets that arrive by one interface. The kernel looks at it for IPv4 only. */
  forwardsFrom(link: string): { name: string; on: boolean } {
    const name = `net/ipv4/conf/${link}/forwarding`;
    return { name, on: this.#state.sysctl(name) !== '0' };
  }

  /** The reverse path filter of an interface: the larger one of two settings holds (0 off, 1 strict, 2 loose). */
  reversePathFilter(link: string): { name: string; value: number } {
    const [all, own] = ['all', link].map(scope => {
      const name = `net/ipv4/conf/${scope}/rp_filter`;
      return { name, value: Number(this.#state.sysctl(name)) };
    }) as [{ name: string; value: number }, { name: string; value: number }];
    return own.value >= all.value ? own : all;
  }

  /** The packet filter rules of all programs. @throws RipstopError, NetError */
  filterTables(): Promise<readonly FilterTable[]> {
    return this.#state.filterTables();
  }
}
