import { contain } from '../../base/boundary.ts';
import { describeError } from '../../base/errors.ts';
import type { Log } from '../../base/log.ts';
import { baseAddress } from '../kernel/desired.ts';
import type { Overlay } from '../overlay/overlay.ts';
import type { OverlayPeer } from '../peer.ts';
import { Way, type WayHealth } from './probe-window.ts';
import type { Prober } from './prober.ts';

/** How a peer answers through the tunnel (null: there is none to it) and beside it. */
export interface PeerHealth {
  readonly tunnel: WayHealth | null;
  readonly underlay: WayHealth;
}

/** A peer is silent when so many probes in a row had no answer. */
const SILENT_AFTER = 3;
const TIMEOUT_MS = 1000;
const TICK_MS = 100;
/** Ten tenths, as floating point adds them. */
const WHOLE = 1 - 1e-6;
/** A peer that is new is not asked before this time: then it knows us as well. */
const SETTLED_MS = 5000;
/** The least time between two looks at who is there. */
const FOLLOW_MS = 1000;
/** Peers that are asked in a second at most; in larger clusters the time between two questions grows. */
const MOST_A_SECOND = 100;
/** Bytes of a probe: a small packet, so that it passes where full ones do not; those are the doctor's. */
const BYTES = 84;
/** Names in one line of the log. */
const NAMED = 8;

type State = 'answers' | 'silent' | 'silent in the tunnel';

interface Watched {
  readonly device: string | undefined;
  readonly id: string;
  /** Monotonic milliseconds. */
  readonly since: number;
  readonly name: string;
  readonly address: string;
  /** Where the tunnel ends: the first address of the peer's subnet; undefined for plain routes. */
  readonly behind: string | undefined;
  readonly tunnel: Way;
  readonly underlay: Way;
  state: State;
}

const SAYS: Readonly<Record<State, string>> = {
  answers: 'answering again',
  silent: 'silent, beside the tunnel and through it',
  'silent in the tunnel': 'answering beside the tunnel and not through it',
};

/**
 * Asks every peer one small question through the tunnel and one beside it, once an interval, spread evenly over it.
 */
export class PeerProbes {
  readonly #overlays: () => readonly Overlay[];
  readonly #everyMs: number;
  readonly #log: Log;
  readonly #tell: (type: 'Normal' | 'Warning', message: string) => void;
  #watched = new Map<string, Watched>();
  /** The overlays' lists of peers as they were looked at last. */
  #lists: readonly (readonly OverlayPeer[])[] = [];
  #followedAt = Number.NEGATIVE_INFINITY;
  /** Keys of the peers of this round that are still to be asked, the next one last. */
  #queue: string[] = [];
  /** Peers a tick; a fraction is carried on. */
  #pace = 0;
  #credit = 0;
  readonly #news = new Map<State, string[]>();
  #timer: NodeJS.Timeout | undefined;
  #prober: Prober | undefined;
  #ticksLeft = 0;

  /**
   * @param everyMs 0: never
   * @param tell tells a person what changed
   */
  constructor(
    overlays: () => readonly Overlay[],
    everyMs: number,
    log: Log,
    tell: (type: 'Normal' | 'Warning', message: string) => void,
  ) {
    this.#overlays = overlays;
    this.#everyMs = everyMs;
    this.#log = log;
    this.#tell = tell;
  }

  start(): void {
    if (this.#everyMs > 0) this.#timer = setInterval(() => contain('probes', () => this.#tick()), TICK_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#prober?.close();
  }

  /** Undefined before the first question to the peer. */
  of(device: string | undefined, peer: OverlayPeer): PeerHealth | undefined {
    const watched = this.#watched.get(keyOf(device, peer));
    const underlay = watched?.underlay.health;
    if (!watched || !underlay?.probes) return undefined;
    return { tunnel: watched.behind === undefined ? null : watched.tunnel.health, underlay };
  }

  /** Peers of a device that have not answered for some time, through the tunnel where there is one to them. */
  silent(device: string | undefined, peers: readonly OverlayPeer[]): number {
    const state = (peer: OverlayPeer) => this.#watched.get(keyOf(device, peer))?.state ?? 'answers';
    return peers.filter(peer => state(peer) !== 'answers').length;
  }

  #tick(): void {
    this.#follow();
    if (this.#ticksLeft-- <= 0) this.#beginRound();
    for (this.#credit += this.#pace; this.#credit >= WHOLE && this.#queue.length > 0; this.#credit--) {
      const key = this.#queue.pop()!;
      const watched = this.#watched.get(key);
      if (watched && this.#isThere(key, watched)) contain('probes', () => this.#ask(watched));
    }
  }

  /** True when the peer is still the same as at the beginning of the round. */
  #isThere(key: string, { device, id }: Watched): boolean {
    const overlay = this.#overlays().find(({ plan }) => plan.device === device);
    const peer = overlay?.peer(id);
    return peer !== undefined && keyOf(device, peer) === key;
  }

  /** Those who left are forgotten, those who came are watched; looked at once a second at most. */
  #follow(): void {
    const time = performance.now();
    if (time - this.#followedAt < Math.min(FOLLOW_MS, this.#everyMs)) return;
    this.#followedAt = time;
    const lists = this.#overlays().map(({ peers }) => peers);
    if (lists.length === this.#lists.length && lists.every((list, at) => list === this.#lists[at])) return;
    this.#lists = lists;
    const now = new Map<string, Watched>();
    for (const { plan, peers } of this.#overlays())
      for (const peer of peers) {
        const key = keyOf(plan.device, peer);
        now.set(key, this.#watched.get(key) ?? watch(plan.device, peer));
      }
    this.#watched = now;
  }

  #beginRound(): void {
    this.#announce();
    const known = performance.now() - Math.min(this.#everyMs, SETTLED_MS);
    this.#queue = [...this.#watched].filter(([, { since }]) => since <= known).map(([key]) => key);
    // More peers are asked less often, so that what probes cost has a bound.
    const roundMs = Math.max(this.#everyMs, (this.#queue.length / MOST_A_SECOND) * 1000);
    this.#ticksLeft = Math.max(1, Math.round(roundMs / TICK_MS)) - 1;
    this.#pace = this.#queue.length / (this.#ticksLeft + 1);
    this.#credit = 0;
  }

  async #ask(watched: Watched): Promise<void> {
    const { address, behind } = watched;
    let answers: (number | undefined)[];
    try {
      const prober = await this.#open();
      answers = await Promise.all(
        [address, behind].map(to => (to === undefined ? undefined : prober.echo(to, BYTES, TIMEOUT_MS))),
      );
    } catch (error) {
      if (this.#timer) this.#log.warn(`peers are not probed: ${describeError(error)}`);
      this.stop();
      return;
    }
    const [underlay, tunnel] = answers;
    watched.underlay.note(underlay);
    if (behind !== undefined) watched.tunnel.note(tunnel);
    const state = stateOf(watched);
    if (state === watched.state) return;
    watched.state = state;
    const names = this.#news.get(state) ?? [];
    this.#news.set(state, [...names, watched.name]);
  }

  /** One line for all peers that changed in a round, however many they are. */
  #announce(): void {
    for (const [state, names] of this.#news) {
      const more = names.length > NAMED ? ` and ${names.length - NAMED} more` : '';
      const message = `${names.length === 1 ? '1 peer is' : `${names.length} peers are`} ${SAYS[state]}: ${names.slice(0, NAMED).join(', ')}${more}`;
      if (state === 'answers') this.#log.info(message);
      else this.#log.warn(`${message}; ask ripstop doctor`);
      this.#tell(state === 'answers' ? 'Normal' : 'Warning', message);
    }
    this.#news.clear();
  }

  /** Loaded with the first question: the probes bring an addon of their own, and a node must start without it. */
  async #open(): Promise<Prober> {
    const { Prober } = await import('./prober.ts');
    this.#prober ??= new Prober();
    return this.#prober;
  }
}

function keyOf(device: string | undefined, { id, address, subnets, direct }: OverlayPeer): string {
  return `${device} ${id} ${address} ${subnets[0]} ${direct}`;
}

function watch(device: string | undefined, peer: OverlayPeer): Watched {
  const [subnet] = peer.subnets;
  const isTunnelled = device !== undefined && !peer.direct && subnet !== undefined;
  return {
    device,
    id: peer.id,
    since: performance.now(),
    name: peer.node?.split('/')[0] ?? peer.address,
    address: peer.address,
    behind: isTunnelled ? baseAddress(subnet) : undefined,
    tunnel: new Way(),
    underlay: new Way(),
    state: 'answers',
  };
}

function stateOf({ behind, tunnel, underlay }: Watched): State {
  const isSilent = (way: Way) => way.lostInARow >= SILENT_AFTER;
  if (behind === undefined || isSilent(tunnel))
    return isSilent(underlay) ? 'silent' : behind === undefined ? 'answers' : 'silent in the tunnel';
  return 'answers';
}
