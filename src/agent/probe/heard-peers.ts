import type { Peer } from '../../dataplane/descriptor/peer.ts';
import type { Overlay } from '../overlay/overlay.ts';

/**
 * Frames that the agent of a peer may send between two samples although no pod does: its probes, and those of a doctor.
 * They show one direction only, as their answers may be lost.
 */
const PROBE_FRAMES = 8;

/**
 * Finds the peers whose packets arrive, by the counters of the data plane. A node that does not answer ICMP may well carry
 * the packets of its pods.
 */
export class HeardPeers {
  #frames = new Map<string, number>();
  #heard = new Set<string>();

  /** Compares the counters with those of the last sample. @returns keys of the peers that sent since then */
  sample(overlays: readonly Overlay[]): ReadonlySet<string> {
    const frames = new Map<string, number>();
    const heard = new Set<string>();
    for (const overlay of overlays) {
      const counts = overlay.counters()?.peers;
      if (!counts) continue;
      for (const peer of overlay.peers) {
        const key = peerKey(overlay.plan.device, peer);
        const now = counts[peer.id]?.ingress.frames ?? 0;
        const before = this.#frames.get(key);
        frames.set(key, now);
        if (before !== undefined && now - before > (peer.node === undefined ? 0 : PROBE_FRAMES))
          heard.add(key);
      }
    }
    this.#frames = frames;
    this.#heard = heard;
    return heard;
  }

  /** True when packets of the peer arrived between the last two samples. */
  has(device: string | undefined, peer: Peer): boolean {
    return this.#heard.has(peerKey(device, peer));
  }
}

function peerKey(device: string | undefined, { id, address }: Peer): string {
  return `${device} ${id} ${address}`;
}
