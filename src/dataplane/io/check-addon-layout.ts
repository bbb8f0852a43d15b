import * as vnet from '../../../encap/wire/vnet-hdr.ts';
import { RipstopError } from '../../base/errors.ts';
import { native } from '../../native/load.ts';
import * as descriptor from '../descriptor/descriptor.ts';
import * as args from '../descriptor/native-arguments.ts';
import * as source from '../descriptor/source.ts';
import * as stats from '../descriptor/stats.ts';
import * as verdicts from '../descriptor/verdicts.ts';
import * as peer from '../tables/peer-table.ts';

type Constants = Readonly<Record<string, Readonly<Record<string, number | undefined>>>>;

/** The constants `names` of a module by name without `prefix`. */
function numbers(module: object, prefix: string, names: string): Record<string, number | undefined> {
  const values = module as Record<string, number | undefined>;
  return Object.fromEntries(names.split(' ').map(name => [name, values[prefix + name] ?? values[name]]));
}

/** Every number of the data plane that C++ and TypeScript share, by the group and name that the addon exports it under. */
const SHARED: Constants = {
  descriptor: numbers(
    descriptor,
    'DESC_',
    'OFFSET LENGTH OFFLOAD GSO_SIZE CSUM_START CSUM_OFFSET VERDICT PEER SOCKET SOURCE SEGMENTS ERROR L3 FLOW PLACES STRIDE ' +
      'HEADROOM FRAME_MAX',
  ),
  peer: numbers(peer, 'PEER_', 'FAMILY PORT ADDRESS HEADER_BYTES HEADER UNSEGMENTED REMOTE_CHECKSUM STRIDE'),
  source: numbers(
    source,
    'SOURCE_',
    'ADDRESS PORT TRUNCATED BYTES HOP_LIMIT FLOW_INFO SECONDS NANOSECONDS STRIDE',
  ),
  verdict: numbers(
    verdicts,
    '',
    'PENDING FORWARD TOO_BIG EGRESS_MALFORMED SEND_FAILED BAD_CHECKSUM WRITE_FAILED',
  ),
  stat: numbers(stats, 'STAT_', 'CALLS UNITS MERGED FALLBACKS COUNT'),
  udp: numbers(args, 'UDP_', 'REUSE_PORT RECEIVE_ONLY DONT_FRAGMENT IPV6 SOCKETS_MAX MESSAGES_MAX'),
  tun: numbers(args, '', 'MERGE_TCP MERGE_UDP ACCEPT_PARTIAL VNET_BYTES'),
  wait: numbers(args, '', 'READY_FIRST READY_SECOND'),
  vnet: numbers(vnet, '', 'NEEDS_CHECKSUM GSO_TCPV4 GSO_TCPV6 GSO_UDP_L4 GSO_ECN'),
};

/** Groups of the addon that `src/net` uses. */
const ELSEWHERE = ['nft', 'capture'];

/**
 * Compares every number that C++ and TypeScript share. An addon that was built from other sources would read and write
 * the wrong words, so it is refused before the first batch. A name that only one side has counts as a difference.
 * @throws RipstopError ELAYOUT with the name of the first number that differs
 */
export function checkAddonLayout(compiled: Constants = native.constants): void {
  const groups = new Set([...Object.keys(SHARED), ...Object.keys(compiled)]);
  for (const group of groups) {
    if (ELSEWHERE.includes(group)) continue;
    const ours = SHARED[group] ?? {};
    const theirs = compiled[group] ?? {};
    for (const name of new Set([...Object.keys(ours), ...Object.keys(theirs)])) {
      if (ours[name] === theirs[name]) continue;
      throw new RipstopError(
        'ELAYOUT',
        `the native addon has ${group}.${name} = ${theirs[name]}, the code has ${ours[name]}`,
        'build it again (npm run build)',
      );
    }
  }
}
