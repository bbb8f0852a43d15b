import {
  boolean,
  described,
  listOf,
  nullable,
  number,
  oneOf,
  record,
  string,
  type ValueOf,
} from '../../base/schema.ts';
import type { Histogram } from '../figures/histogram.ts';

/* What a stream was, as `--json` prints it. Times are in microseconds, sizes and rates are those of IP packets. */

export const latencyField = record({
  packets: described('packets whose time was taken', number),
  minUs: described('smallest, microseconds', number),
  meanUs: described('mean', number),
  p50Us: described('half of the packets were faster', number),
  p90Us: described('90 % were faster', number),
  p99Us: described('99 % were faster', number),
  p999Us: described('99.9 % were faster', number),
  p9999Us: described('99.99 % were faster', number),
  maxUs: described('largest', number),
});
export type LatencyFigures = ValueOf<typeof latencyField>;

const round = (value: number, digits: number): number => Number(value.toFixed(digits));
const microseconds = (nanoseconds: number): number => round(nanoseconds / 1000, 3);

/** Percentiles, each to within `HISTOGRAM_ERROR`; null without any time. */
export function latencyOf(histogram: Histogram): LatencyFigures | null {
  if (histogram.count === 0) return null;
  const at = (share: number) => microseconds(histogram.quantile(share));
  return {
    packets: histogram.count,
    minUs: microseconds(histogram.min),
    meanUs: microseconds(histogram.mean),
    ...{ p50Us: at(0.5), p90Us: at(0.9), p99Us: at(0.99), p999Us: at(0.999), p9999Us: at(0.9999) },
    maxUs: microseconds(histogram.max),
  };
}

/** Of `packets` and `bytes` in `milliseconds`, per second. */
export function rateOf(
  packets: number,
  bytes: number,
  milliseconds: number,
): { packetsPerSecond: number; bitsPerSecond: number } {
  if (milliseconds <= 0) return { packetsPerSecond: 0, bitsPerSecond: 0 };
  return {
    packetsPerSecond: round((packets * 1000) / milliseconds, 1),
    bitsPerSecond: Math.round((bytes * 8000) / milliseconds),
  };
}

const rates = {
  packets: described('packets', number),
  bytes: described('bytes of their IP packets', number),
  seconds: described('from the first to the last', number),
  packetsPerSecond: described('packets per second', number),
  bitsPerSecond: described('bits of IP packets per second', number),
};

const oneWay = record({
  clock: described(
    'same: sender and sink have one clock; estimated: its offset comes from round trips',
    oneOf(['same', 'estimated']),
  ),
  offsetUs: described('by how much the clock of the sink is ahead; 0 for one clock', number),
  errorUs: described('largest error of that offset, and so of every latency', number),
  negative: described(
    'latencies below zero, which count as 0: the offset was wrong by more than they are',
    number,
  ),
  latency: described('its distribution', latencyField),
});

const received = record({
  ...rates,
  lost: described('packets that were sent and did not arrive', number),
  lostPercent: described('share of those sent, per cent', number),
  duplicates: described('further arrivals of a packet', number),
  reordered: described('packets that arrived behind a later one of their flow (RFC 4737)', number),
  reorderedPercent: described('share of those received, per cent', number),
  reorderDistance: described('largest number of packets by which one was behind', number),
  beyondWindow: described('packets so far behind that they may be duplicates', number),
  droppedBySink: described(
    'packets of all streams that the sink was too slow to read; they are lost here too',
    number,
  ),
  jitterUs: described('interarrival jitter at the end of the stream (RFC 3550)', number),
  oneWay: described('latency from sender to sink; null if the clocks cannot be compared', nullable(oneWay)),
});

const sent = record({
  ...rates,
  refused: described('packets that the kernel of the sender did not take', number),
  refusedBecause: described('errno name of the last of them', nullable(string)),
  burst: described('most packets that were sent back to back', number),
  systemCalls: described('system calls that sent them', number),
});

export const streamReport = record({
  peer: described('address and port of the sink', string),
  medium: described('what the packets were sent on', oneOf(['udp', 'interface', 'tun', 'tap'])),
  device: described('its interface or device', nullable(string)),
  began: described('start of the stream, ISO 8601', string),
  sizes: described('bytes of the IP packets: smallest and largest', listOf(number)),
  flows: described('number of flows', number),
  gso: described('the kernel cut the packets out of large ones (UDP_SEGMENT)', boolean),
  asked: described(
    'rate that was asked for; null: as fast as possible',
    nullable(
      record({
        unit: described('its unit', oneOf(['packets/s', 'bit/s'])),
        value: described('its value', number),
      }),
    ),
  ),
  limit: described(
    'packets per second that this generator sends at most, measured on its loopback; null: not measured',
    nullable(number),
  ),
  ended: described('why it ended', oneOf(['complete', 'stopped', 'sink gone'])),
  sent: described('what was sent', sent),
  received: described('what the sink counted; null without a sink', nullable(received)),
  roundTrip: described('of packets that asked for an answer; null without any', nullable(latencyField)),
  roundTripAsked: described('packets that asked for an answer', number),
  notes: described('what may mislead a reader of these figures', listOf(string)),
});
export type StreamReport = ValueOf<typeof streamReport>;

export const limitField = record({
  bytes: described('size of the IP packets: the largest', number),
  flows: described('number of flows', number),
  packetsPerSecond: described('packets per second that this generator sends at most', number),
  packetsPerSecondGso: described('the same with UDP_SEGMENT', number),
});
export type LimitFigures = ValueOf<typeof limitField>;
