import { setTimeout as sleep } from 'node:timers/promises';
import { errnoName, RipstopError } from '../../base/errors.ts';
import { formatEndpoint } from '../../ip/address.ts';
import { bootId } from '../control/boot-id.ts';
import type { SinkClient } from '../control/client.ts';
import type { Invitation, SinkFigures } from '../control/messages.ts';
import { Histogram } from '../figures/histogram.ts';
import type { ClockOffset } from '../send/answer-reader.ts';
import { Generator } from '../send/generator.ts';
import type { SentFigures } from '../send/task.ts';
import { notesOf } from './notes.ts';
import type { StreamPlan } from './plan.ts';
import { latencyOf, rateOf, type StreamReport } from './report.ts';

export interface Progress {
  readonly elapsedMs: number;
  readonly sent: number;
}

export interface StreamHooks {
  /** Ends the stream early; its figures so far are the result. */
  readonly signal: AbortSignal;
  readonly onProgress?: (progress: Progress) => void;
}

/** How the clock of the sink differs. */
interface Compared extends ClockOffset {
  /** Both ends run on one kernel. */
  readonly isSame: boolean;
  /** Nanoseconds by which the wall clock of the sink is ahead. */
  readonly aheadNs: number;
}

const PROGRESS_MS = 250;
/** The sink is asked until two answers in a row are alike; this long at most. */
const SETTLE_STEP_MS = 50;
const SETTLE_MS = 3000;

/**
 * Sends one stream and asks the sink what arrived.
 * @param client undefined: no sink counts (`--force`)
 * @throws RipstopError EREFUSED when the sink does not invite, or its UDP port does not answer
 */
export async function runStream(
  client: SinkClient | undefined,
  plan: StreamPlan,
  hooks: StreamHooks,
): Promise<StreamReport> {
  const invitation = await client?.invite(plan.flows.count, plan.isElsewhere ? plan.to.address : '');
  const { stream, nonce } = invitation ?? { stream: 0, nonce: 0 };
  const generator = new Generator({ ...plan, stream, nonce });
  const sinkGone = { is: false };
  const stop = () => generator.stop();
  hooks.signal.addEventListener('abort', stop);
  // What the sink no longer asks for is not sent.
  const forget = client?.onGone(() => {
    sinkGone.is = true;
    stop();
  });
  const began = new Date();
  try {
    const before = invitation && (await compareClocks(generator, invitation, plan, hooks.signal));
    if (client) await client.start(before?.offsetNs ?? 0);
    const start = performance.now();
    const timer = setInterval(
      () => hooks.onProgress?.({ elapsedMs: performance.now() - start, sent: generator.sent }),
      PROGRESS_MS,
    );
    const isStopped = hooks.signal.aborted;
    if (isStopped) stop();
    const { sent } = await generator
      .run({
        ...plan.rate,
        durationMs: plan.durationMs,
        packets: plan.packets,
        asks: asksOf(plan, invitation),
      })
      .finally(() => clearInterval(timer));
    const figures = sinkGone.is ? undefined : await settled(client, sent.packets);
    const after =
      invitation && !hooks.signal.aborted && !sinkGone.is && plan.probes > 0
        ? await compareClocks(generator, invitation, plan, hooks.signal).catch(() => undefined)
        : undefined;
    const ended = sinkGone.is ? 'sink gone' : hooks.signal.aborted ? 'stopped' : 'complete';
    return reportOf({ plan, began, ended, sent, figures, before, after });
  } finally {
    forget?.();
    hooks.signal.removeEventListener('abort', stop);
    await generator.close();
  }
}

/** Frames of TUN and TAP have a source behind the device: the sink's answers would not come back. */
function asksOf({ medium }: StreamPlan, invitation: Invitation | undefined): boolean {
  return invitation !== undefined && (medium.kind === 'udp' || medium.kind === 'interface');
}

/** @throws RipstopError EREFUSED when the sink does not answer over UDP, where packets would go the same way */
async function compareClocks(
  generator: Generator,
  invitation: Invitation,
  { probes, medium, to, sizes }: StreamPlan,
  signal: AbortSignal,
): Promise<Compared | undefined> {
  const { offset } = await generator.probe(probes);
  if (!offset && medium.kind === 'udp' && !signal.aborted)
    throw new RipstopError(
      'EREFUSED',
      `the sink at ${formatEndpoint(to.address, to.port)} answers over TCP, but not over UDP port ${invitation.port}`,
      `a firewall between them may drop UDP, or the path packets of ${sizes.reduce((a, b) => Math.max(a, b))} bytes (--size)`,
    );
  const isSame = invitation.bootId !== '' && invitation.bootId === bootId();
  const origins = (generator.originSeconds - invitation.originSeconds) * 1e9;
  if (isSame) return { offsetNs: origins, errorNs: 0, isSame, aheadNs: 0 };
  return offset && { ...offset, isSame, aheadNs: offset.offsetNs - origins };
}

/** The figures of the sink when nothing more arrives. */
async function settled(client: SinkClient | undefined, sent: number): Promise<SinkFigures | undefined> {
  if (!client) return undefined;
  const end = performance.now() + SETTLE_MS;
  try {
    let last = await client.figures();
    while (last.packets < sent && performance.now() < end) {
      await sleep(SETTLE_STEP_MS);
      const next = await client.figures();
      const isQuiet = next.packets === last.packets && next.duplicates === last.duplicates;
      last = next;
      if (isQuiet) break;
    }
    return await client.end();
  } catch (error) {
    if (error instanceof RipstopError) return undefined;
    throw error;
  }
}

interface Ended {
  readonly plan: StreamPlan;
  readonly began: Date;
  readonly ended: StreamReport['ended'];
  readonly sent: SentFigures;
  readonly figures: SinkFigures | undefined;
  readonly before: Compared | undefined;
  readonly after: ClockOffset | undefined;
}

function reportOf({ plan, began, ended, sent, figures, before, after }: Ended): StreamReport {
  const { to, medium, sizes, flows, gso, rate, limit } = plan;
  const isPaced = rate.perSecond !== Number.POSITIVE_INFINITY;
  const facts = {
    peer: formatEndpoint(to.address, to.port),
    medium: medium.kind,
    device: medium.kind === 'udp' ? null : medium.device,
    began: began.toISOString(),
    sizes: [sizes.reduce((a, b) => Math.min(a, b)), sizes.reduce((a, b) => Math.max(a, b))],
    flows: flows.count,
    gso,
    asked: isPaced
      ? ({ unit: rate.unit === 'bits' ? 'bit/s' : 'packets/s', value: rate.perSecond } as const)
      : null,
    limit: limit === undefined ? null : Math.round(limit),
    ended,
  } as const;
  const report: Omit<StreamReport, 'notes'> = {
    ...facts,
    sent: {
      packets: sent.packets,
      bytes: sent.bytes,
      seconds: Number((sent.elapsedMs / 1000).toFixed(6)),
      ...rateOf(sent.packets, sent.bytes, sent.elapsedMs),
      refused: sent.refused,
      refusedBecause: sent.refused > 0 ? errnoName(sent.errno) : null,
      burst: sent.burst,
      systemCalls: sent.calls,
    },
    received: figures ? receivedOf(figures, sent, before, after) : null,
    roundTrip: latencyOf(Histogram.from(sent.roundTrips)),
    roundTripAsked: sent.asked,
  };
  return { ...report, notes: notesOf(report, plan) };
}

function receivedOf(
  figures: SinkFigures,
  sent: SentFigures,
  before: Ended['before'],
  after: Ended['after'],
): StreamReport['received'] {
  const { packets, bytes } = figures;
  const milliseconds = (figures.lastNs - figures.firstNs) / 1e6;
  const lost = Math.max(0, sent.packets - packets);
  const latency = latencyOf(Histogram.from(figures.latency));
  return {
    ...{ packets, bytes },
    seconds: Number((milliseconds / 1000).toFixed(6)),
    // n packets have n - 1 distances.
    ...rateOf(Math.max(0, packets - 1), packets > 0 ? bytes * (1 - 1 / packets) : 0, milliseconds),
    lost,
    lostPercent: percent(lost, sent.packets),
    duplicates: figures.duplicates,
    reordered: figures.reordered,
    reorderedPercent: percent(figures.reordered, packets),
    reorderDistance: figures.reorderDistance,
    beyondWindow: figures.beyondWindow,
    droppedBySink: figures.dropped,
    jitterUs: Number((figures.jitterNs / 1000).toFixed(3)),
    oneWay:
      before && latency
        ? {
            clock: before.isSame ? 'same' : 'estimated',
            offsetUs: Number((before.aheadNs / 1000).toFixed(3)),
            errorUs: Number(((before.errorNs + driftOf(before, after) + STAMP_STEP_NS) / 1000).toFixed(3)),
            negative: figures.negative,
            latency,
          }
        : null,
  };
}

/** The steps of a time of sending: milliseconds since 1970 as a double. */
const STAMP_STEP_NS = 250;

/** By how much the offset after the stream differs for sure from that before. */
function driftOf(before: Compared, after: ClockOffset | undefined): number {
  if (before.isSame || !after) return 0;
  const difference = Math.abs(after.offsetNs - before.offsetNs);
  return Math.max(0, difference - before.errorNs - after.errorNs);
}

function percent(part: number, whole: number): number {
  return whole === 0 ? 0 : Number(((part / whole) * 100).toPrecision(4));
}
