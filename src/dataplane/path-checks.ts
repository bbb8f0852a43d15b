import type { Log } from '../base/log.ts';
import type { PathMtus } from './slow-path/path-mtu.ts';

/** What tells a path that became smaller from a forged ICMP error. */
export interface PathProbe {
  /** MTU of the route to `address` and of its interface, without what ICMP reported, bytes of IP. Undefined: not known. */
  configuredMtu(address: string): number | undefined;
  /**
   * The largest IP packet that is answered over the underlay, between what ICMP reported and what passed until now. `claimed`
   * when no larger packet is answered.
   * @throws when this process may not send probes
   */
  largestAnswered(address: string, claimed: number, present: number): Promise<number>;
}

interface PeerName {
  readonly id: string;
  readonly address: string;
}

interface PathChecksOptions {
  readonly paths: PathMtus;
  /** Absent: ICMP errors are believed. */
  readonly probe?: PathProbe | undefined;
  readonly log: Log;
  /** The kernel's MTU of the path: the route's, or a smaller one that ICMP reported. 0 or -errno: not known. */
  knownMtu(address: string): number;
  /** Slots of all peers. */
  slots(): Iterable<number>;
  peerIn(slot: number): PeerName | undefined;
  /** The path MTUs of these peers have changed. */
  changed(ids: readonly string[]): void;
  /** Lets the kernel send packets whatever path MTU ICMP reported. */
  ignoreIcmp(): void;
}

/**
 * Decides what the path MTUs to the peers are. The MTU of a route or an interface is true. The kernel also refuses packets
 * because of ICMP errors, and it believes each one that quotes addresses and a port of ours, or an echo: what such an error
 * claims counts unless a larger packet is answered (RFC 8899). One forged error is enough to let the kernel's memory of path
 * MTUs, which no program can correct, count for nothing: from then on the sockets ignore it, and `check` probes what it
 * claims.
 */
export class PathChecks {
  readonly #options: PathChecksOptions;
  readonly #judging = new Set<number>();
  #ignoresIcmp = false;
  #isOver = false;

  constructor(options: PathChecksOptions) {
    this.#options = options;
  }

  /** The kernel refused an outer packet of `bytes` to the peer in `slot`. */
  onRefusal(slot: number, bytes: number): void {
    const { probe, knownMtu, peerIn } = this.#options;
    const peer = peerIn(slot);
    if (!peer) return;
    const known = knownMtu(peer.address);
    const configured = probe?.configuredMtu(peer.address) ?? 0;
    if (bytes <= configured && known > 0 && known < bytes) void this.#judge(slot, peer, known);
    else this.#refused(slot, peer, bytes, configured > 0 ? configured : known);
  }

  #refused(slot: number, peer: PeerName, bytes: number, mtu: number): void {
    const { paths, log, changed } = this.#options;
    const pathMtu = paths.onPacketTooBig(slot, bytes, mtu, performance.now());
    if (pathMtu === undefined) return;
    log.warn({ peer: peer.id, pathMtu }, 'path MTU to peer lowered');
    changed([peer.id]);
  }

  /** Looks again at paths whose MTU was lowered some time ago; at all paths while the sockets ignore ICMP errors. */
  check(): void {
    const { paths, probe, knownMtu, slots, peerIn, changed } = this.#options;
    const now = performance.now();
    const due = new Set(paths.due(now));
    const ids: string[] = [];
    for (const slot of this.#ignoresIcmp ? slots() : due) {
      const peer = peerIn(slot);
      const present = paths.get(slot);
      if (!peer || present === undefined) continue;
      const known = knownMtu(peer.address);
      const configured = this.#ignoresIcmp ? (probe?.configuredMtu(peer.address) ?? present) : present;
      if (configured >= present && known > 0 && known < present) void this.#judge(slot, peer, known);
      else if (configured < present || due.has(slot)) {
        paths.onRouteMtu(slot, configured < present ? configured : known, now);
        ids.push(peer.id);
      }
    }
    if (ids.length > 0) changed(ids);
  }

  stop(): void {
    this.#isOver = true;
  }

  /** ICMP claims a smaller path MTU than the present one. */
  async #judge(slot: number, peer: PeerName, claimed: number): Promise<void> {
    const { paths, probe, log, peerIn, changed } = this.#options;
    const present = paths.get(slot);
    if (present === undefined || claimed >= present || this.#judging.has(slot)) return;
    this.#judging.add(slot);
    const found = await Promise.resolve(probe?.largestAnswered(peer.address, claimed, present))
      .catch(() => undefined)
      .finally(() => this.#judging.delete(slot));
    if (this.#isOver || peerIn(slot)?.address !== peer.address) return;
    if (found !== undefined && found > claimed) this.#distrust(peer, claimed, found);
    const pathMtu = paths.onRouteMtu(slot, found ?? claimed, performance.now());
    if (pathMtu === undefined) return;
    log.warn({ peer: peer.id, pathMtu }, 'path MTU to peer lowered');
    changed([peer.id]);
  }

  #distrust(peer: PeerName, claimed: number, found: number): void {
    if (this.#ignoresIcmp) return;
    this.#ignoresIcmp = true;
    this.#options.ignoreIcmp();
    this.#options.log.warn(
      { peer: peer.id, claimed, answered: found },
      'an ICMP error reported a smaller path MTU than the path has: from now on such reports count only if a probe confirms them',
    );
  }
}
