import { vni as vniOf } from '../../../encap/vxlan.ts';
import { viewOf } from '../../../encap/wire/addresses.ts';
import type { PacketDecoder } from '../decode/packet-decoder.ts';
import { LINK_ETHERNET, LINK_RAW } from '../format/packet.ts';
import { type CaptureContext, encapsulationOf } from '../live/context.ts';
import type { CaptureRecord } from '../live/record.ts';
import { type BpfProgram, runProgram } from './bpf.ts';
import { compileFilter } from './filter-compiler.ts';

/** The part of the filter that the reader applies. The workers apply points, verdicts and peer. */
export interface FilterOptions {
  /** In the language of tcpdump, for the inner frame. */
  readonly inner?: string | undefined;
  /** In the language of tcpdump, for the outer datagram. */
  readonly outer?: string | undefined;
  /** VXLAN network identifier on the wire. */
  readonly vni?: number | undefined;
}

/** True for a record to capture. */
export type RecordFilter = (record: CaptureRecord) => boolean;

/**
 * Compiles the filter. It sees the captured bytes only: bytes beyond the snap length never match.
 * Throws RipstopError EFILTER.
 */
export async function createFilter(
  options: FilterOptions,
  context: CaptureContext,
  decoder: Pick<PacketDecoder, 'inner' | 'outer'>,
): Promise<RecordFilter> {
  const link = encapsulationOf(context).inner === 'ethernet' ? LINK_ETHERNET : LINK_RAW;
  const compile = (expression: string | undefined) =>
    expression ? compileFilter(expression, link) : undefined;
  const [inner, outer] = await Promise.all([compile(options.inner), compile(options.outer)]);
  const { vni } = options;
  return record => {
    if (vni !== undefined && networkOf(record, context) !== vni) return false;
    if (inner && !matches(inner, decoder.inner(record))) return false;
    return !outer || matches(outer, decoder.outer(record));
  };
}

function matches(program: BpfProgram, packet: { bytes: Uint8Array; length: number } | undefined): boolean {
  return packet !== undefined && runProgram(program, packet.bytes, packet.length) !== 0;
}

/** The VNI of a record, undefined if it has none. */
function networkOf(record: CaptureRecord, context: CaptureContext): number | undefined {
  if (context.mode !== 'vxlan') return undefined;
  if (record.direction === 'egress') return context.vni;
  return record.bytes.length >= 8 ? vniOf(viewOf(record.bytes), 0) : undefined;
}
