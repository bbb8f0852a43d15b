import { described, nullable, number, record, string, type ValueOf } from '../../base/schema.ts';
import type { SinkFigures } from '../control/messages.ts';
import { Histogram } from '../figures/histogram.ts';
import { latencyField, latencyOf, rateOf } from '../stream/report.ts';

/** A stream as its sink counted it: what was sent is known to the sender only. */
export const countedField = record({
  from: described('address of the sender', string),
  packets: described('packets that arrived, without duplicates', number),
  bytes: described('bytes of their IP packets', number),
  seconds: described('from the first to the last', number),
  packetsPerSecond: described('packets per second', number),
  bitsPerSecond: described('bits of IP packets per second', number),
  duplicates: described('further arrivals of a packet', number),
  reordered: described('packets that arrived behind a later one of their flow (RFC 4737)', number),
  reorderDistance: described('largest number of packets by which one was behind', number),
  beyondWindow: described('packets so far behind that they may be duplicates', number),
  droppedBySink: described('packets of all streams that this sink was too slow to read', number),
  jitterUs: described('interarrival jitter at the end of the stream (RFC 3550)', number),
  oneWay: described(
    'latency from the sender, whose report says how exact it is; null without packets',
    nullable(latencyField),
  ),
});
export type CountedStream = ValueOf<typeof countedField>;

export function countedOf(from: string, figures: SinkFigures): CountedStream {
  const { packets, bytes, duplicates, reordered, reorderDistance, beyondWindow, dropped, jitterNs } = figures;
  const milliseconds = (figures.lastNs - figures.firstNs) / 1e6;
  return {
    ...{ from, packets, bytes, seconds: Number((milliseconds / 1000).toFixed(6)) },
    ...rateOf(Math.max(0, packets - 1), packets > 0 ? bytes * (1 - 1 / packets) : 0, milliseconds),
    ...{ duplicates, reordered, reorderDistance, beyondWindow, droppedBySink: dropped },
    jitterUs: Number((jitterNs / 1000).toFixed(3)),
    oneWay: latencyOf(Histogram.from(figures.latency)),
  };
}
