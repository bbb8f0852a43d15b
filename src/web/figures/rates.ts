import type { PeerView, TallyView, View } from '../../api/web/messages.ts';

/** Traffic of a link, bits per second. */
export interface LinkRate {
  readonly sentBits: number;
  readonly receivedBits: number;
}

export const peerKey = ({ device, id }: PeerView): string => `${device} ${id}`;

/** Rates of every peer between two views. A counter that decreased was reset: its rate is 0. */
export function ratesBetween(before: View | undefined, now: View): ReadonlyMap<string, LinkRate> {
  const seconds = before ? (now.now - before.now) / 1000 : 0;
  const former = new Map(before?.peers.map(peer => [peerKey(peer), peer]));
  const bits = (after: TallyView | null, earlier: TallyView | null | undefined) =>
    after && earlier && seconds > 0 ? (Math.max(0, after.bytes - earlier.bytes) * 8) / seconds : 0;
  return new Map(
    now.peers.map(peer => {
      const earlier = former.get(peerKey(peer));
      const rate: LinkRate = {
        sentBits: bits(peer.sent, earlier?.sent),
        receivedBits: bits(peer.received, earlier?.received),
      };
      return [peerKey(peer), rate] as const;
    }),
  );
}
