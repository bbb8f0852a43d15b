import { GSO_ECN, GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4, NEEDS_CHECKSUM } from '../../../encap/wire/vnet-hdr.ts';
import { RipstopError } from '../../base/errors.ts';
import { native } from '../../native/load.ts';
import * as desc from '../descriptor/descriptor.ts';
import * as args from '../descriptor/native-arguments.ts';
import * as source from '../descriptor/source.ts';
import * as stats from '../descriptor/stats.ts';
import * as verdicts from '../descriptor/verdicts.ts';
import * as peer from '../tables/peer-table.ts';

type Constants = Readonly<Record<string, Readonly<Record<string, number>>>>;

/** Every number of the data plane that C++ and TypeScript share, by the group and name that the addon exports it under. */
const SHARED: Constants = {
  descriptor: {
    OFFSET: desc.DESC_OFFSET,
    LENGTH: desc.DESC_LENGTH,
    OFFLOAD: desc.DESC_OFFLOAD,
    GSO_SIZE: desc.DESC_GSO_SIZE,
    CSUM_START: desc.DESC_CSUM_START,
    CSUM_OFFSET: desc.DESC_CSUM_OFFSET,
    VERDICT: desc.DESC_VERDICT,
    PEER: desc.DESC_PEER,
    SOCKET: desc.DESC_SOCKET,
    SOURCE: desc.DESC_SOURCE,
    SEGMENTS: desc.DESC_SEGMENTS,
    ERROR: desc.DESC_ERROR,
    L3: desc.DESC_L3,
    FLOW: desc.DESC_FLOW,
    STRIDE: desc.DESC_STRIDE,
    HEADROOM: desc.HEADROOM,
    FRAME_MAX: desc.FRAME_MAX,
  },
  peer: {
    FAMILY: peer.PEER_FAMILY,
    PORT: peer.PEER_PORT,
    ADDRESS: peer.PEER_ADDRESS,
    HEADER_BYTES: peer.PEER_HEADER_BYTES,
    HEADER: peer.PEER_HEADER,
    REMOTE_CHECKSUM: peer.PEER_REMOTE_CHECKSUM,
    STRIDE: peer.PEER_STRIDE,
  },
  source: {
    ADDRESS: source.SOURCE_ADDRESS,
    PORT: source.SOURCE_PORT,
    TRUNCATED: source.SOURCE_TRUNCATED,
    BYTES: source.SOURCE_BYTES,
    STRIDE: source.SOURCE_STRIDE,
  },
  verdict: {
    PENDING: verdicts.PENDING,
    FORWARD: verdicts.FORWARD,
    TOO_BIG: verdicts.TOO_BIG,
    EGRESS_MALFORMED: verdicts.EGRESS_MALFORMED,
    SEND_FAILED: verdicts.SEND_FAILED,
    BAD_CHECKSUM: verdicts.BAD_CHECKSUM,
    WRITE_FAILED: verdicts.WRITE_FAILED,
  },
  stat: {
    CALLS: stats.STAT_CALLS,
    UNITS: stats.STAT_UNITS,
    MERGED: stats.STAT_MERGED,
    FALLBACKS: stats.STAT_FALLBACKS,
    COUNT: stats.STAT_COUNT,
  },
  udp: {
    REUSE_PORT: args.UDP_REUSE_PORT,
    DONT_FRAGMENT: args.UDP_DONT_FRAGMENT,
    IPV6: args.UDP_IPV6,
    SOCKETS_MAX: args.UDP_SOCKETS_MAX,
    MESSAGES_MAX: args.UDP_MESSAGES_MAX,
  },
  tun: {
    MERGE_TCP: args.MERGE_TCP,
    MERGE_UDP: args.MERGE_UDP,
    ACCEPT_PARTIAL: args.ACCEPT_PARTIAL,
    VNET_BYTES: args.VNET_BYTES,
  },
  vnet: { NEEDS_CHECKSUM, GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4, GSO_ECN },
};

/** Groups of the addon that do not concern the data plane: `src/net` uses them. */
const ELSEWHERE = ['nft'];

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
