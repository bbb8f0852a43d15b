import type { PeerView, TallyView, View } from '../../api/web/messages.ts';

/** Traffic of a link, bits and frames per second. */
export interface LinkRate {
  readonly sentBits: number;
  readonly receivedBits: number;
  readonly sentFrames: number;
  readonly receivedFrames: number;
}

export const peerKey = ({ device, id }: PeerView): string => `${device} ${id}`;

const NOTHING: TallyView = { frames: 0, bytes: 0 };

/** Rates of every peer between two views. A counter that decreased was reset: its rate is 0. */
export function ratesBetween(before: View | undefined, now: View): ReadonlyMap<string, LinkRate> {
  const seconds = before ? (now.now - before.now) / 1000 : 0;
  const former = new Map(before?.peers.map(peer => [peerKey(peer), peer]));
  const grown = (
    field: 'frames' | 'bytes',
    after: TallyView | null,
    earlier: TallyView | null | undefined,
  ) => {
    const delta = (after ?? NOTHING)[field] - (earlier ?? after ?? NOTHING)[field];
    return seconds > 0 ? Math.max(0, delta) / seconds : 0;
  };
  return new Map(
    now.peers.map(peer => {
      const earlier = former.get(peerKey(peer));
      const rate: LinkRate = {
        sentBits: grown('bytes', peer.sent, earlier?.sent) * 8,
        receivedBits: grown('bytes', peer.received, earlier?.received) * 8,
        sentFrames: grown('frames', peer.sent, earlier?.sent),
        receivedFrames: grown('frames', peer.received, earlier?.received),
      };
      return [peerKey(peer), rate] as const;
    }),
  );
}
