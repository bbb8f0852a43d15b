import { check, TYPE_ARP, TYPE_IPV6, type } from '../../../encap/wire/ethernet.ts';
import { arpReply, type NeighbourLookup } from './arp-responder.ts';
import { neighbourAdvertisement } from './nd-responder.ts';

/**
 * The answer to an ARP request or neighbour solicitation of the TAP, from the table of peers, so that no request crosses the
 * overlay. A device with permanent neighbour entries never asks.
 * @returns the frame to write to the device in answer to the frame at `off`, or undefined
 */
export function answerNeighbour(
  view: DataView,
  off: number,
  length: number,
  lookup: NeighbourLookup,
): Uint8Array | undefined {
  const kind = check(view, off, length) === 0 ? 0 : type(view, off);
  if (kind === TYPE_ARP) return arpReply(view, off, length, lookup);
  return kind === TYPE_IPV6 ? neighbourAdvertisement(view, off, length, lookup) : undefined;
}
