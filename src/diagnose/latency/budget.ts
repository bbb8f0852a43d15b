import {
  described,
  listOf,
  nullable,
  number,
  oneOf,
  record,
  string,
  type ValueOf,
} from '../../base/schema.ts';

/** Parts of a round trip in their order. */
export const LATENCY_STAGES = [
  'device-queue',
  'batch',
  'send',
  'underlay',
  'peer',
  'receive',
  'ingress-batch',
  'write',
] as const;
export type LatencyStage = (typeof LATENCY_STAGES)[number];

const stage = record({
  stage: described('name of the stage', oneOf(LATENCY_STAGES)),
  p50Ms: described('median, ms', number),
  maxMs: described('maximum, ms', number),
  share: described('share of the time of all round trips', number),
});

export const latency = record({
  peer: described('name of the peer', string),
  address: described('its underlay address', string),
  tunnelAddress: described('its address in the overlay', string),
  device: described('device of the overlay', string),
  sent: described('echoes through the tunnel', number),
  answered: described('answers', number),
  roundTrip: described(
    'round trip through the tunnel, ms; null without an answer',
    nullable(record({ p50Ms: described('median', number), maxMs: described('maximum', number) })),
  ),
  unplaced: described('round trips that are in no stage: their packets were not seen at every place', number),
  stages: described('the stages in their order; none without a placed round trip', listOf(stage)),
  guilty: described('the stage with the largest share; null without one', nullable(oneOf(LATENCY_STAGES))),
});

export type Latency = ValueOf<typeof latency>;
export type LatencyBudget = Pick<
  Latency,
  'unplaced' | 'stages' | 'guilty' | 'roundTrip' | 'answered' | 'sent'
>;

/** When one echo passed which place, ms of one clock; undefined where it was not seen. */
export interface EchoTimes {
  readonly sent: number;
  /** Its batch was read from the device, and went to be sent. */
  read?: number;
  decided?: number;
  /** It left the underlay device, and the answer came there. */
  left?: number;
  returned?: number;
  /** The batch of the answer was read from the socket, and went to be written. */
  received?: number;
  accepted?: number;
  /** The answer arrived at the sender. */
  arrived?: number;
  /** Round trip of an echo over the underlay, right afterwards. */
  underlay?: number | undefined;
}

/** What each stage of a round trip took, ms; undefined unless it was seen everywhere. */
export function placed(times: EchoTimes): Record<LatencyStage, number> | undefined {
  const { sent, read, decided, left, returned, received, accepted, arrived, underlay } = times;
  if (read === undefined || decided === undefined || left === undefined || returned === undefined)
    return undefined;
  if (received === undefined || accepted === undefined || arrived === undefined || underlay === undefined)
    return undefined;
  const away = returned - left;
  const spans = {
    'device-queue': read - sent,
    batch: decided - read,
    send: left - decided,
    underlay: Math.min(away, underlay),
    peer: away - Math.min(away, underlay),
    receive: received - returned,
    'ingress-batch': accepted - received,
    write: arrived - accepted,
  };
  // The clocks of the kernel and of the workers are read some microseconds apart.
  for (const name of LATENCY_STAGES) spans[name] = Math.max(0, spans[name]);
  return spans;
}

/** The budget of all echoes. */
export function budgetOf(echoes: readonly EchoTimes[]): LatencyBudget {
  const answered = echoes.filter(({ arrived }) => arrived !== undefined);
  const trips = answered.map(({ sent, arrived }) => (arrived ?? sent) - sent);
  const spans = answered.flatMap(times => placed(times) ?? []);
  const sums = LATENCY_STAGES.map(name => spans.reduce((sum, span) => sum + span[name], 0));
  const whole = sums.reduce((sum, time) => sum + time, 0);
  const stages =
    spans.length === 0
      ? []
      : LATENCY_STAGES.map((name, at) => ({
          stage: name,
          ...summary(spans.map(span => span[name])),
          share: whole === 0 ? 0 : (sums[at] ?? 0) / whole,
        }));
  const [first] = [...stages].sort((a, b) => b.share - a.share);
  return {
    sent: echoes.length,
    answered: answered.length,
    roundTrip: trips.length === 0 ? null : summary(trips),
    unplaced: answered.length - spans.length,
    stages,
    guilty: first?.stage ?? null,
  };
}

function summary(values: readonly number[]): { p50Ms: number; maxMs: number } {
  const sorted = [...values].sort((a, b) => a - b);
  return { p50Ms: sorted[Math.floor(sorted.length / 2)] ?? 0, maxMs: sorted.at(-1) ?? 0 };
}
