import { vni as vniOf } from '../../../encap/vxlan.ts';
import { viewOf } from '../../../encap/wire/addresses.ts';
import type { PacketDecoder } from '../decode/packet-decoder.ts';
import { LINK_ETHERNET, LINK_RAW } from '../format/packet.ts';
import { type CaptureContext, encapsulationOf } from '../live/context.ts';
import type { CaptureRecord } from '../live/record.ts';
import { type BpfProgram, runProgram } from './bpf.ts';
import { compileFilter } from './filter-compiler.ts';

/** What of a capture the reader itself decides; points, verdicts and peer are left to the workers. */
export interface FilterOptions {
  /** In tcpdump's language, over the frame inside. */
  readonly inner?: string;
  /** In tcpdump's language, over the whole datagram outside. */
  readonly outer?: string;
  /** VXLAN network identifier on the wire. */
  readonly vni?: number;
}

/** Says of each record whether it is wanted. */
export interface RecordFilter {
  accepts(record: CaptureRecord): boolean;
}

/**
 * Prepares the filter. It sees the captured bytes: with a small snap length what lies behind them does not match.
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
  return {
    accepts(record) {
      if (vni !== undefined && networkOf(record, context) !== vni) return false;
      if (inner && !matches(inner, decoder.inner(record))) return false;
      return !outer || matches(outer, decoder.outer(record));
    },
  };
}

function matches(program: BpfProgram, packet: { bytes: Uint8Array; length: number } | undefined): boolean {
  return packet !== undefined && runProgram(program, packet.bytes, packet.length) !== 0;
}

/** The VNI that a record bears, undefined where there is none. */
function networkOf(record: CaptureRecord, context: CaptureContext): number | undefined {
  if (context.mode !== 'vxlan') return undefined;
  if (record.direction === 'egress') return context.vni;
  return record.bytes.length >= 8 ? vniOf(viewOf(record.bytes), 0) : undefined;
}
