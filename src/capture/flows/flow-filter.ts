import { viewOf } from '../../../encap/wire/addresses.ts';
import * as ipv4 from '../../../encap/wire/ipv4.ts';
import * as ipv6 from '../../../encap/wire/ipv6.ts';
import { addressBytes } from '../../ip/address.ts';
import { runProgram } from '../filter/bpf.ts';
import { compileFilter } from '../filter/filter-compiler.ts';
import { LINK_RAW } from '../format/packet.ts';
import { type FlowRow, protocolNumber } from './flow-report.ts';

/** The fields of a flow that a filter sees. */
export type FiveTuple = Pick<
  FlowRow,
  'protocol' | 'source' | 'sourcePort' | 'destination' | 'destinationPort'
>;

/** A TCP header without options, the longest header with ports. */
const UPPER_BYTES = 20;

/**
 * Compiles a filter in tcpdump's language for flows. It sees a packet with the addresses, protocol and ports of the flow,
 * and zeros otherwise; so `host`, `net`, `port` and `tcp` work as in a capture. Undefined for an empty expression. Throws
 * RipstopError EFILTER.
 */
export async function createFlowFilter(
  expression: string,
): Promise<((flow: FiveTuple) => boolean) | undefined> {
  if (expression === '') return undefined;
  const program = await compileFilter(expression, LINK_RAW);
  return flow => {
    const packet = packetOf(flow);
    return runProgram(program, packet, packet.length) !== 0;
  };
}

/** An IP packet of the flow. */
function packetOf(flow: FiveTuple): Uint8Array {
  const source = addressBytes(flow.source);
  const destination = addressBytes(flow.destination);
  const protocol = protocolNumber(flow.protocol);
  const isIpv6 = source.length === 16;
  const header = isIpv6 ? ipv6.BYTES : ipv4.MIN_BYTES;
  const bytes = new Uint8Array(header + UPPER_BYTES);
  const view = viewOf(bytes);
  if (isIpv6)
    ipv6.emit(view, 0, {
      ...{ trafficClass: 0, flowLabel: 0, hopLimit: 64, source, destination },
      payloadLength: UPPER_BYTES,
      nextHeader: protocol,
    });
  else
    ipv4.emit(view, 0, {
      ...{ tos: 0, identification: 0, dontFragment: true, moreFragments: false, fragmentOffset: 0, ttl: 64 },
      ...{ protocol, source, destination, totalLength: bytes.length, options: new Uint8Array(0) },
    });
  view.setUint16(header, flow.sourcePort ?? 0);
  view.setUint16(header + 2, flow.destinationPort ?? 0);
  return bytes;
}
