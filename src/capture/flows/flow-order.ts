import { RipstopError } from '../../base/errors.ts';
import { suggest } from '../../base/suggest.ts';
import type { FlowRow } from './flow-report.ts';

/** Sort keys, the largest value first. */
const ORDERS: Readonly<Record<string, (row: FlowRow) => number>> = {
  rate: row => row.bitRate,
  'packet-rate': row => row.packetRate,
  bytes: row => row.bytes,
  packets: row => row.packets,
  drops: row => row.drops,
  retransmissions: row => row.retransmissions,
  rtt: row => row.rttMs ?? -1,
  last: row => Date.parse(row.last),
};

export const FLOW_ORDERS: readonly string[] = Object.keys(ORDERS);

/** Sorts the rows by a key, then by bytes. @throws RipstopError ECONFIG for an unknown key */
export function orderFlows(rows: readonly FlowRow[], order: string): FlowRow[] {
  const value = Object.hasOwn(ORDERS, order) ? ORDERS[order] : undefined;
  if (!value) {
    const near = suggest(order, FLOW_ORDERS);
    throw new RipstopError(
      'ECONFIG',
      `flows cannot be sorted by "${order}"`,
      near ? `did you mean "${near}"?` : `known: ${FLOW_ORDERS.join(', ')}`,
    );
  }
  return [...rows].sort((a, b) => value(b) - value(a) || b.bytes - a.bytes);
}
