import type { Sighting } from './observation.ts';

/** How long a packet may be on its way to the other node before it counts as lost there, milliseconds. */
const PATIENCE_MS = 2000;
/** Packets on their way at once; beyond, the oldest are given up. */
const UNDERWAY_MAX = 65_536;

/** A packet from one node to the other, as far as it was seen. Nodes are 0 and 1, as the caller counts them. */
export interface Journey {
  readonly sent: { readonly node: number; readonly sighting: Sighting } | undefined;
  readonly received: { readonly node: number; readonly sighting: Sighting } | undefined;
  /**
   * `arrived`: seen at both ends; `dropped`: one of them lost it; `missing`: it left the one and did not come to the
   * other; `unannounced`: it came, and nobody saw it leave.
   */
  readonly fate: 'arrived' | 'dropped' | 'missing' | 'unannounced';
}

interface Waiting {
  readonly node: number;
  readonly sighting: Sighting;
  readonly since: number;
  /** The next one that looks the same. */
  next?: Waiting;
}

/** Those that look the same and wait for the same end, the oldest first. */
interface Queue {
  first: Waiting | undefined;
  last: Waiting;
}

/**
 * Joins what two nodes saw of the same packets. Packets that look the same are joined in their order. The two nodes are
 * listened to by different streams, so that the end of a journey may be heard of first.
 */
export class Journeys {
  readonly #nodes: number;
  readonly #isDrop: readonly boolean[];
  /**
   * By `placeOf`: those that left, and those that came without having left. A map keeps the oldest first, and by the
   * place the other end is found at once, however many look the same.
   */
  readonly #waiting = new Map<string, Queue>();
  #underway = 0;

  /**
   * @param nodes that are listened to: 1 or 2
   * @param isDrop by verdict
   */
  constructor(nodes: number, isDrop: readonly boolean[]) {
    this.#nodes = nodes;
    this.#isDrop = isDrop;
  }

  /** Takes a sighting. @param nowMs monotonic @returns the journey that it ends, if any */
  see(node: number, sighting: Sighting, nowMs: number): Journey | undefined {
    const isLost = this.#isDrop[sighting.verdict] === true;
    const isSent = sighting.direction === 'egress';
    if (isSent && isLost) return { sent: { node, sighting }, received: undefined, fate: 'dropped' };
    if (this.#nodes === 1)
      return this.#ended(isSent ? { node, sighting } : undefined, isSent ? undefined : { node, sighting });
    const one: Waiting = { node, sighting, since: nowMs };
    const other = this.#take(placeOf(1 - node, isSent ? 'ingress' : 'egress', sighting.identity));
    if (other) return isSent ? this.#ended(one, other) : this.#ended(other, one);
    const place = placeOf(node, sighting.direction, sighting.identity);
    const alike = this.#waiting.get(place);
    if (alike) alike.last = alike.last.next = one;
    else this.#waiting.set(place, { first: one, last: one });
    this.#underway++;
    return undefined;
  }

  /** Journeys that nobody will hear the end of. @param nowMs monotonic */
  overdue(nowMs: number): Journey[] {
    const journeys: Journey[] = [];
    for (const [place, alike] of this.#waiting)
      for (let one = alike.first; one; one = alike.first) {
        const isPatient = nowMs - one.since < PATIENCE_MS;
        if (isPatient && this.#underway <= UNDERWAY_MAX) break;
        this.#take(place);
        const isSent = one.sighting.direction === 'egress';
        journeys.push(
          isSent
            ? { sent: one, received: undefined, fate: 'missing' }
            : {
                sent: undefined,
                received: one,
                fate: this.#isDrop[one.sighting.verdict] ? 'dropped' : 'unannounced',
              },
        );
      }
    return journeys;
  }

  #ended(sent: Journey['sent'], received: Journey['received']): Journey {
    const isLost = received !== undefined && this.#isDrop[received.sighting.verdict] === true;
    return { sent, received, fate: isLost ? 'dropped' : 'arrived' };
  }

  #take(place: string): Waiting | undefined {
    const alike = this.#waiting.get(place);
    const one = alike?.first;
    if (!alike || !one) return undefined;
    alike.first = one.next;
    if (!one.next) this.#waiting.delete(place);
    this.#underway--;
    return one;
  }
}

/** Where a packet was seen, as a key. */
function placeOf(node: number, direction: Sighting['direction'], identity: string): string {
  return `${node} ${direction} ${identity}`;
}
