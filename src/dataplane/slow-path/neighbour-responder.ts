import { check, TYPE_ARP, TYPE_IPV6, type } from '../../../encap/wire/ethernet.ts';
import { arpReply, type NeighbourLookup } from './arp-responder.ts';
import { neighbourAdvertisement } from './nd-responder.ts';

/** Questions after overlay neighbours that the device asked. */
export interface NeighbourCounts {
  arpAnswered: number;
  ndAnswered: number;
  /** Asked after an address that no peer has, asked wrongly, or no question at all. */
  unanswered: number;
}

/**
 * Answers the TAP's ARP requests and neighbour solicitations from the table of peers, so that no question has to
 * cross the overlay. A device with permanent neighbour entries never asks; one without works all the same.
 */
export class NeighbourResponder {
  readonly counts: NeighbourCounts = { arpAnswered: 0, ndAnswered: 0, unanswered: 0 };
  readonly #lookup: NeighbourLookup;

  constructor(lookup: NeighbourLookup) {
    this.#lookup = lookup;
  }

  /** The frame to write to the device in answer to the punted frame at `off`; undefined: none. */
  answer(view: DataView, off: number, length: number): Uint8Array | undefined {
    const kind = check(view, off, length) === 0 ? 0 : type(view, off);
    if (kind === TYPE_ARP) {
      const reply = arpReply(view, off, length, this.#lookup);
      if (reply) {
        this.counts.arpAnswered++;
        return reply;
      }
    } else if (kind === TYPE_IPV6) {
      const advertisement = neighbourAdvertisement(view, off, length, this.#lookup);
      if (advertisement) {
        this.counts.ndAnswered++;
        return advertisement;
      }
    }
    this.counts.unanswered++;
    return undefined;
  }
}
