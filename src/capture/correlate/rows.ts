import { type CaptureContext, errnoName, ownAddress, peerName } from '../live/context.ts';
import type { Journey } from './correlator.ts';
import type { Sighting } from './observation.ts';

/** A journey for a person or a program. Times in nanoseconds. */
export interface JourneyNote {
  /** ISO time, UTC, microseconds, at which the forwarder read the packet first. */
  readonly time: string;
  readonly packet: string;
  readonly fate: Journey['fate'];
  readonly steps: readonly JourneyStep[];
  /** Verdict that lost it, what it means, what to do; null where it was not lost. */
  readonly reason: string | null;
  readonly meaning: string | null;
  readonly remedy: string | null;
}

export interface JourneyStep {
  /** Own underlay address of the node; `underlay` for the way between. */
  readonly where: string;
  readonly what: 'egress' | 'underlay' | 'ingress';
  /**
   * Below zero on the underlay: it was read there before the batch that it left in was done here. Where that took less,
   * the clocks of the nodes differ.
   */
  readonly ns: number;
  readonly verdict: string | null;
  readonly peer: string | null;
}

/** @param contexts by node */
export function journeyNote(journey: Journey, contexts: readonly CaptureContext[]): JourneyNote {
  const { sent, received, fate } = journey;
  const ends = [sent, received].filter(end => end !== undefined);
  const steps = ends.map(({ node, sighting }) => stepOf(sighting, contexts[node]!));
  if (sent && received) {
    const ns = Number(received.sighting.readAt - sent.sighting.doneAt);
    steps.splice(1, 0, { where: 'underlay', what: 'underlay', ns, verdict: null, peer: null });
  }
  const first = ends[0]!.sighting;
  const last = ends.at(-1)!;
  const verdict = contexts[last.node]!.verdicts[last.sighting.verdict];
  const isLost = fate === 'dropped';
  const errno = last.sighting.error > 0 ? ` (${errnoName(last.sighting.error)})` : '';
  return {
    time: isoMicroseconds(first.readAt),
    packet: first.describe(),
    fate,
    steps,
    reason: isLost ? `${verdict?.name ?? 'lost'}${errno}` : null,
    meaning: isLost ? (verdict?.meaning ?? null) : null,
    remedy: isLost ? (verdict?.remedy ?? null) : null,
  };
}

function stepOf(sighting: Sighting, context: CaptureContext): JourneyStep {
  const peer = sighting.peer < 0 ? undefined : context.peers[sighting.peer];
  return {
    where: ownAddress(context, peer?.address ?? '') ?? context.addresses[0]!,
    what: sighting.direction,
    ns: Number(sighting.doneAt - sighting.readAt),
    verdict: context.verdicts[sighting.verdict]?.name ?? null,
    peer: peerName(context, sighting.peer) ?? null,
  };
}

function isoMicroseconds(ns: bigint): string {
  const ms = new Date(Number(ns / 1_000_000n)).toISOString();
  return `${ms.slice(0, -1)}${String((ns / 1000n) % 1000n).padStart(3, '0')}Z`;
}

/** Two lines a journey, and what to do about each reason once. */
export class JourneyLines {
  readonly #explained = new Set<string>();

  lines({ time, packet, fate, steps, reason, meaning, remedy }: JourneyNote): string[] {
    const way = steps
      .map(({ where, ns }, at) => `${where} ${span(ns)}${early(ns, steps[at - 1])}`)
      .join(' > ');
    const lines = [`${time.slice(11, 26)} ${packet}`, `  ${way}, ${this.#end(fate, steps, reason)}`];
    if (reason !== null && !this.#explained.has(reason)) {
      this.#explained.add(reason);
      lines.push(`  ${meaning}`, `  what to do: ${remedy}`);
    }
    return lines;
  }

  #end(fate: Journey['fate'], steps: readonly JourneyStep[], reason: string | null): string {
    switch (fate) {
      case 'arrived':
        return steps.length === 3
          ? `in all ${span(steps.reduce((sum, { ns }) => sum + ns, 0))}`
          : `${steps[0]!.what === 'egress' ? 'to' : 'from'} ${steps[0]!.peer ?? 'nobody'}`;
      case 'dropped':
        return `lost: ${reason}`;
      case 'missing':
        return 'lost on the way: the other node did not see it';
      case 'unannounced':
        return 'came without having been seen to leave';
    }
  }
}

/** Why a step took less than nothing. @param before the turn of the sending node, which ends when all its batch has left */
function early(ns: number, before: JourneyStep | undefined): string {
  if (ns >= 0) return '';
  return before && -ns <= before.ns ? ' (its batch was still leaving)' : ' (the clocks differ)';
}

/** Nanoseconds in words, to three digits that count. */
function span(ns: number): string {
  if (ns < 0) return `-${span(-ns)}`;
  if (ns < 999_500) return `${(ns / 1000).toPrecision(3)}us`;
  return ns < 999_500_000 ? `${(ns / 1e6).toPrecision(3)}ms` : `${(ns / 1e9).toPrecision(3)}s`;
}
