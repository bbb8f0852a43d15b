import { formatRate } from '../../base/text/quantity.ts';
import type { StreamPlan } from './plan.ts';
import type { StreamReport } from './report.ts';

/** A paced stream that sent less than this share of its rate did not keep it. */
const KEPT = 0.99;
/** From this share of its own limit on, a generator is what is measured. */
const NEAR_LIMIT = 0.8;

/** What may mislead a reader of the figures, as sentences. */
export function notesOf(report: Omit<StreamReport, 'notes'>, { rate }: StreamPlan): string[] {
  const { sent, received, limit, roundTripAsked, roundTrip, ended } = report;
  const notes: string[] = [];
  const unit = rate.unit === 'bits' ? sent.bitsPerSecond : sent.packetsPerSecond;
  if (rate.perSecond !== Number.POSITIVE_INFINITY && sent.packets > 100 && unit < rate.perSecond * KEPT)
    notes.push('The generator did not keep the rate: its own kernel, device or processor was the limit.');
  if (limit !== null && sent.packetsPerSecond > limit * NEAR_LIMIT)
    notes.push(
      `The rate is close to what this generator sends at most (${formatRate(limit)}): the path may carry more.`,
    );
  if (sent.refused > 0)
    notes.push(
      `This host's kernel refused ${sent.refused} packets (${sent.refusedBecause}); they do not count as sent.`,
    );
  if (ended === 'sink gone') notes.push('The sink went away: what arrived is not known.');
  if (!received) return notes;
  if (received.droppedBySink > 0)
    notes.push(
      `The sink was too slow for ${received.droppedBySink} packets, which count as lost: the path did not lose them.`,
    );
  if (received.packets > sent.packets)
    notes.push('More packets arrived than were sent: another stream has the same number and nonce.');
  if (received.oneWay && received.oneWay.negative > 0)
    notes.push(
      `${received.oneWay.negative} latencies were below zero: the clocks differ by more than they were compared to.`,
    );
  if (roundTripAsked > 0 && roundTrip === null)
    notes.push('No answer of the sink arrived, so there are no round trips.');
  return notes;
}
