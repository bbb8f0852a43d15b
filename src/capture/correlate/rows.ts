import { errnoName } from '../../base/errors.ts';
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
import { formatLatency } from '../../base/text/quantity.ts';
import { podPairFields, podPairText } from '../decode/pod-pair.ts';
import { type CaptureContext, ownAddress, peerName } from '../live/context.ts';
import type { PodLookup } from '../live/pods.ts';
import { FATES, type NodeObservation, type PacketPath } from './correlator.ts';

const step = record({
  where: described('own underlay address of the node; `underlay` between the nodes', string),
  what: described('what happened there', oneOf(['egress', 'underlay', 'ingress'])),
  ns: described(
    'how long it took, ns; negative on the underlay if the receiver read the packet before the sender had finished the ' +
      'batch, or if the clocks of the nodes differ',
    number,
  ),
  verdict: described('verdict of the node; null on the underlay', nullable(string)),
  peer: described('name of the peer; null without one', nullable(string)),
});

/** The path of a packet for a person or a program. */
export const pathRowField = record({
  time: described('when a forwarder first read the packet, microseconds', string),
  packet: described('the packet in the notation of tcpdump', string),
  ...podPairFields,
  fate: described(
    'arrived: seen at both nodes; dropped: one of them dropped it; missing: the sender saw it, the receiver did not; ' +
      'unmatched: the receiver saw it, the sender did not',
    oneOf(FATES),
  ),
  steps: described('in the order of the way', listOf(step)),
  reason: described('verdict that dropped it, with the errno; null where no verdict did', nullable(string)),
  meaning: described('what the verdict means', nullable(string)),
  remedy: described('what to do', nullable(string)),
});

export type PathRow = ValueOf<typeof pathRowField>;
export type PathStep = ValueOf<typeof step>;

/**
 * @param contexts by node
 * @param pods by node: each names its own
 */
export function pathRow(
  { sent, received, fate }: PacketPath,
  contexts: readonly CaptureContext[],
  pods: readonly PodLookup[],
): PathRow {
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
  const { source, destination, readAt } = first.observation;
  const podAt = (address: string) =>
    pods.map(names => names.at(address, Number(readAt / 1_000_000n))).find(name => name !== null) ?? null;
  return {
    time: isoMicroseconds(readAt),
    packet: first.observation.describe(),
    sourcePod: podAt(source),
    destinationPod: podAt(destination),
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
  const { remote } = observation;
  return {
    where: ownAddress(context, remote?.address ?? '') ?? context.addresses[0] ?? '',
    what: observation.direction,
    ns: Number(observation.doneAt - observation.readAt),
    verdict: context.verdicts[observation.verdict]?.name ?? null,
    peer: remote ? peerName(remote) : null,
  };
}

function isoMicroseconds(ns: bigint): string {
  const ms = new Date(Number(ns / 1_000_000n)).toISOString();
  return `${ms.slice(0, -1)}${String((ns / 1000n) % 1000n).padStart(3, '0')}Z`;
}

/** Formats paths as two lines each. The first path of a reason also gets its meaning and remedy. */
export class PathLines {
  readonly #explained = new Set<string>();

  lines(row: PathRow): string[] {
    const { time, packet, fate, steps, reason, meaning, remedy } = row;
    const pods = podPairText(row);
    const way = steps
      .map(({ where, ns }, at) => `${where} ${formatLatency(ns / 1e6)}${whyNegative(ns, steps[at - 1])}`)
      .join(' > ');
    const lines = [
      `${time.slice(11, 26)} ${packet}${pods ? `  (${pods})` : ''}`,
      `  ${way}, ${ending(fate, steps, reason)}`,
    ];
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
