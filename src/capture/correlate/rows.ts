import { errnoName } from '../../base/errors.ts';
import { formatLatency } from '../../base/text/quantity.ts';
import { type CaptureContext, ownAddress, peerName } from '../live/context.ts';
import type { NodeObservation, PacketPath } from './correlator.ts';

/** The path of a packet for a person or a program. Times in nanoseconds. */
export interface PathRow {
  /** ISO time, UTC, microseconds, at which a forwarder first read the packet. */
  readonly time: string;
  readonly packet: string;
  readonly fate: PacketPath['fate'];
  readonly steps: readonly PathStep[];
  /** Verdict that dropped it, its meaning and remedy; null where no verdict did. */
  readonly reason: string | null;
  readonly meaning: string | null;
  readonly remedy: string | null;
}

export interface PathStep {
  /** Own underlay address of the node; `underlay` between the nodes. */
  readonly where: string;
  readonly what: 'egress' | 'underlay' | 'ingress';
  /**
   * Negative on the underlay if the receiver read the packet before the sender had finished the batch, or if the
   * clocks of the nodes differ.
   */
  readonly ns: number;
  readonly verdict: string | null;
  readonly peer: string | null;
}

/** @param contexts by node */
export function pathRow({ sent, received, fate }: PacketPath, contexts: readonly CaptureContext[]): PathRow {
  const steps: PathStep[] = [];
  if (sent) steps.push(stepOf(sent, contexts));
  if (sent && received) {
    const ns = Number(received.observation.readAt - sent.observation.doneAt);
    steps.push({ where: 'underlay', what: 'underlay', ns, verdict: null, peer: null });
  }
  if (received) steps.push(stepOf(received, contexts));
  const first = sent ?? received;
  const last = received ?? sent;
  if (!first || !last) throw new TypeError('bug: a packet path without an observation');
  const verdict = contexts[last.node]?.verdicts[last.observation.verdict];
  const isDropped = fate === 'dropped';
  const errno = last.observation.error > 0 ? ` (${errnoName(last.observation.error)})` : '';
  return {
    time: isoMicroseconds(first.observation.readAt),
    packet: first.observation.describe(),
    fate,
    steps,
    reason: isDropped ? `${verdict?.name ?? 'lost'}${errno}` : null,
    meaning: isDropped ? (verdict?.meaning ?? null) : null,
    remedy: isDropped ? (verdict?.remedy ?? null) : null,
  };
}

function stepOf({ node, observation }: NodeObservation, contexts: readonly CaptureContext[]): PathStep {
  const context = contexts[node];
  if (!context) throw new TypeError(`bug: no capture context of node ${node}`);
  const peer = observation.peer < 0 ? undefined : context.peers[observation.peer];
  return {
    where: ownAddress(context, peer?.address ?? '') ?? context.addresses[0] ?? '',
    what: observation.direction,
    ns: Number(observation.doneAt - observation.readAt),
    verdict: context.verdicts[observation.verdict]?.name ?? null,
    peer: peerName(context, observation.peer) ?? null,
  };
}

function isoMicroseconds(ns: bigint): string {
  const ms = new Date(Number(ns / 1_000_000n)).toISOString();
  return `${ms.slice(0, -1)}${String((ns / 1000n) % 1000n).padStart(3, '0')}Z`;
}

/** Formats paths as two lines each. The first path of a reason also gets its meaning and remedy. */
export class PathLines {
  readonly #explained = new Set<string>();

  lines({ time, packet, fate, steps, reason, meaning, remedy }: PathRow): string[] {
    const way = steps
      .map(({ where, ns }, at) => `${where} ${formatLatency(ns / 1e6)}${whyNegative(ns, steps[at - 1])}`)
      .join(' > ');
    const lines = [`${time.slice(11, 26)} ${packet}`, `  ${way}, ${ending(fate, steps, reason)}`];
    if (reason !== null && !this.#explained.has(reason)) {
      this.#explained.add(reason);
      lines.push(`  ${meaning}`, `  what to do: ${remedy}`);
    }
    return lines;
  }
}

function ending(fate: PacketPath['fate'], steps: readonly PathStep[], reason: string | null): string {
  const [first] = steps;
  switch (fate) {
    case 'arrived':
      if (steps.length === 3)
        return `total ${formatLatency(steps.reduce((sum, { ns }) => sum + ns, 0) / 1e6)}`;
      return `${first?.what === 'egress' ? 'to' : 'from'} ${first?.peer ?? 'no peer'}`;
    case 'dropped':
      return `dropped: ${reason}`;
    case 'missing':
      return 'lost between the nodes: the other node did not see it';
    case 'unmatched':
      return 'received, but the other node did not see it leave';
  }
}

/** @param before step at the sending node, which ends when the whole batch is sent */
function whyNegative(ns: number, before: PathStep | undefined): string {
  if (ns >= 0) return '';
  return before && -ns <= before.ns ? ' (read before the batch was sent)' : ' (the clocks differ)';
}
