import type { Observation } from './observation.ts';

/** How long a packet waits for its observation at the other node, milliseconds. After that it counts as lost. */
const TIMEOUT_MS = 2000;
/** Observations that may wait for the other node. Beyond that the oldest expire early. */
const PENDING_MAX = 65_536;

/** An observation and the node that made it. Nodes are 0 and 1, in the order of the caller. */
export interface NodeObservation {
  readonly node: number;
  readonly observation: Observation;
}

/** What became of a packet; `pathRowField` in rows.ts says what each word means. */
export const FATES = ['arrived', 'dropped', 'missing', 'unmatched'] as const;

/** A packet from one node to the other, as far as it was observed. */
export interface PacketPath {
  readonly sent: NodeObservation | undefined;
  readonly received: NodeObservation | undefined;
  readonly fate: (typeof FATES)[number];
}

interface Pending extends NodeObservation {
  readonly since: number;
  /** The next one with the same key. */
  next?: Pending;
}

/** Observations with the same key, the oldest first. */
interface Queue {
  first: Pending;
  last: Pending;
}

/**
 * Joins the observations that two nodes made of the same packets. Packets with equal fingerprints are joined in their
 * order. The nodes report over separate streams, so a receive may arrive before the matching send.
 */
export class Correlator {
  readonly #nodes: number;
  readonly #isDrop: readonly boolean[];
  /** By `keyOf`. The map keeps the oldest key first, and finds a match at once however many packets are equal. */
  readonly #pending = new Map<string, Queue>();
  #count = 0;

  /**
   * @param nodes that are observed: 1 or 2
   * @param isDrop by verdict
   */
  constructor(nodes: number, isDrop: readonly boolean[]) {
    this.#nodes = nodes;
    this.#isDrop = isDrop;
  }

  /** Adds an observation. @param nowMs monotonic @returns the path that it completes, if any */
  add(node: number, observation: Observation, nowMs: number): PacketPath | undefined {
    const isSent = observation.direction === 'egress';
    const own = { node, observation };
    if (isSent && this.#isDropped(own)) return { sent: own, received: undefined, fate: 'dropped' };
    if (this.#nodes === 1) return isSent ? this.#complete(own, undefined) : this.#complete(undefined, own);
    const other = this.#take(keyOf(1 - node, isSent ? 'ingress' : 'egress', observation.fingerprint));
    if (other) return isSent ? this.#complete(own, other) : this.#complete(other, own);
    const key = keyOf(node, observation.direction, observation.fingerprint);
    const pending: Pending = { ...own, since: nowMs };
    const queue = this.#pending.get(key);
    if (queue) queue.last = queue.last.next = pending;
    else this.#pending.set(key, { first: pending, last: pending });
    this.#count++;
    return undefined;
  }

  /** Removes the observations that waited too long. @param nowMs monotonic @returns their paths */
  expire(nowMs: number): PacketPath[] {
    const paths: PacketPath[] = [];
    for (const [key, { first }] of this.#pending)
      for (let pending: Pending | undefined = first; pending; pending = pending.next) {
        if (nowMs - pending.since < TIMEOUT_MS && this.#count <= PENDING_MAX) break;
        this.#take(key);
        if (pending.observation.direction === 'egress')
          paths.push({ sent: pending, received: undefined, fate: 'missing' });
        else {
          const fate = this.#isDropped(pending) ? 'dropped' : 'unmatched';
          paths.push({ sent: undefined, received: pending, fate });
        }
      }
    return paths;
  }

  #complete(sent: PacketPath['sent'], received: PacketPath['received']): PacketPath {
    return { sent, received, fate: received && this.#isDropped(received) ? 'dropped' : 'arrived' };
  }

  #isDropped({ observation }: NodeObservation): boolean {
    return this.#isDrop[observation.verdict] === true;
  }

  #take(key: string): Pending | undefined {
    const queue = this.#pending.get(key);
    if (!queue) return undefined;
    const { first } = queue;
    if (first.next) queue.first = first.next;
    else this.#pending.delete(key);
    this.#count--;
    return first;
  }
}

function keyOf(node: number, direction: Observation['direction'], fingerprint: string): string {
  return `${node} ${direction} ${fingerprint}`;
}
