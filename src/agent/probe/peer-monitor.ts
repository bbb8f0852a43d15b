import { contain } from '../../base/boundary.ts';
import { describeError } from '../../base/errors.ts';
import { componentLog, type Log } from '../../base/log.ts';
import type { Peer } from '../../dataplane/descriptor/peer.ts';
import type { EventRecorder } from '../event-recorder.ts';
import type { Overlay } from '../overlay/overlay.ts';
import { HeardPeers } from './heard-peers.ts';
import { keyOf, type PeerState, type ProbeState, probeStateOf, stateOf } from './probe-state.ts';
import type { PeerHealth } from './probe-window.ts';
import type { Prober } from './prober.ts';

const TIMEOUT_MS = 1000;
const TICK_MS = 100;
/** Ten tenths, as floating point adds them. */
const WHOLE = 1 - 1e-6;
/** A new peer is not probed before this time, in which it learns of this node. */
const SETTLED_MS = 5000;
/** The least time between two comparisons with the lists of peers. */
const FOLLOW_MS = 1000;
/** Peers that are probed per second at most; in larger clusters the interval of the probes grows. */
const PEERS_PER_SECOND = 100;
/** Bytes of a probe: a small packet passes where full ones do not; the doctor sends those. */
const BYTES = 84;
/** Names in one line of the log. */
const NAMES_MAX = 8;

const DESCRIPTIONS: Readonly<Record<PeerState, string>> = {
  answers: 'reachable again',
  silent: 'silent, over the underlay and through the tunnel',
  'silent in the tunnel': 'answering over the underlay and not through the tunnel',
};

/**
 * Sends every peer one small probe through the tunnel and one over the underlay per interval, spread evenly over it.
 */
export class PeerMonitor {
  readonly #overlays: () => readonly Overlay[];
  readonly #everyMs: number;
  readonly #log: Log;
  readonly #recordEvent: (type: 'Normal' | 'Warning', message: string) => void;
  #states = new Map<string, ProbeState>();
  /** The overlays' lists of peers as they were looked at last. */
  #lists: readonly (readonly Peer[])[] = [];
  #followedAt = Number.NEGATIVE_INFINITY;
  /** Keys of the peers of this round that are still to be probed, the next one last. */
  #queue: string[] = [];
  /** Peers probed per tick; the fraction is added to the next tick. */
  #pace = 0;
  #credit = 0;
  readonly #transitions = new Map<PeerState, string[]>();
  readonly #heard = new HeardPeers();
  #timer: NodeJS.Timeout | undefined;
  #prober: Prober | undefined;
  #ticksLeft = 0;

  /**
   * @param everyMs 0: never
   * @param recordEvent records for a person what changed
   */
  constructor(
    overlays: () => readonly Overlay[],
    everyMs: number,
    log: Log,
    recordEvent: (type: 'Normal' | 'Warning', message: string) => void,
  ) {
    this.#overlays = overlays;
    this.#everyMs = everyMs;
    this.#log = componentLog(log, 'probe');
    this.#recordEvent = recordEvent;
  }

  start(): void {
    if (this.#everyMs > 0) this.#timer = setInterval(() => contain('probes', () => this.#tick()), TICK_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#prober?.close();
  }

  /** Undefined before the first probe of the peer. */
  of(device: string | undefined, peer: Peer): PeerHealth | undefined {
    const probed = this.#states.get(keyOf(device, peer));
    const underlay = probed?.underlay.health;
    if (!probed || !underlay?.probes) return undefined;
    return { tunnel: probed.tunnelAddress === undefined ? null : probed.tunnel.health, underlay };
  }

  /** True when packets of the peer arrived in the last round. */
  isHeard(device: string | undefined, peer: Peer): boolean {
    return this.#heard.has(device, peer);
  }

  /** True when no probe of the peer was ever answered and none of its packets arrived, although it is probed. */
  wasNeverReached(device: string | undefined, peer: Peer): boolean {
    const probed = this.#states.get(keyOf(device, peer));
    return probed !== undefined && probed.underlay.health.probes > 0 && !probed.wasReached;
  }

  /**
   * Peers of a device that have not answered for some time, through the tunnel where there is one to them, and whose
   * packets do not arrive.
   */
  silent(device: string | undefined, peers: readonly Peer[]): number {
    const state = (peer: Peer) => this.#states.get(keyOf(device, peer))?.state ?? 'answers';
    return peers.filter(peer => state(peer) !== 'answers').length;
  }

  #tick(): void {
    this.#follow();
    if (this.#ticksLeft-- <= 0) this.#beginRound();
    for (this.#credit += this.#pace; this.#credit >= WHOLE; this.#credit--) {
      const key = this.#queue.pop();
      if (key === undefined) break;
      const peer = this.#states.get(key);
      if (peer && this.#isUnchanged(key, peer)) contain('probes', () => this.#probe(peer));
    }
  }

  /** True when the peer is still the same as at the beginning of the round. */
  #isUnchanged(key: string, state: ProbeState): boolean {
    const peer = this.#peerOf(state);
    return peer !== undefined && keyOf(state.device, peer) === key;
  }

  #peerOf({ device, id }: ProbeState): Peer | undefined {
    return this.#overlays()
      .find(({ plan }) => plan.device === device)
      ?.peer(id);
  }

  /** Takes over the lists of peers, at most once per second. */
  #follow(): void {
    const time = performance.now();
    if (time - this.#followedAt < Math.min(FOLLOW_MS, this.#everyMs)) return;
    this.#followedAt = time;
    const lists = this.#overlays().map(({ peers }) => peers);
    if (lists.length === this.#lists.length && lists.every((list, at) => list === this.#lists[at])) return;
    this.#lists = lists;
    const now = new Map<string, ProbeState>();
    for (const { plan, peers } of this.#overlays())
      for (const peer of peers) {
        const key = keyOf(plan.device, peer);
        now.set(key, this.#states.get(key) ?? probeStateOf(plan.device, peer));
      }
    this.#states = now;
  }

  #beginRound(): void {
    this.#reportTransitions();
    this.#heard.sample(this.#overlays());
    const known = performance.now() - Math.min(this.#everyMs, SETTLED_MS);
    this.#queue = [...this.#states].filter(([, { since }]) => since <= known).map(([key]) => key);
    // More peers are probed less often, so that the cost of the probes is bounded.
    const roundMs = Math.max(this.#everyMs, (this.#queue.length / PEERS_PER_SECOND) * 1000);
    this.#ticksLeft = Math.max(1, Math.round(roundMs / TICK_MS)) - 1;
    this.#pace = this.#queue.length / (this.#ticksLeft + 1);
    this.#credit = 0;
  }

  async #probe(peer: ProbeState): Promise<void> {
    const { address, tunnelAddress } = peer;
    let answers: (number | undefined)[];
    try {
      const prober = await this.#open();
      answers = await Promise.all(
        [address, tunnelAddress].map(to =>
          to === undefined ? undefined : prober.echo(to, BYTES, TIMEOUT_MS),
        ),
      );
    } catch (error) {
      if (this.#timer) this.#log.warn(`peers are not probed: ${describeError(error)}`);
      this.stop();
      return;
    }
    const [underlay, tunnel] = answers;
    peer.underlay.add(underlay);
    if (tunnelAddress !== undefined) peer.tunnel.add(tunnel);
    const present = this.#peerOf(peer);
    const isHeard = present !== undefined && this.#heard.has(peer.device, present);
    peer.wasReached ||= isHeard || underlay !== undefined || tunnel !== undefined;
    const state = stateOf(peer, isHeard);
    if (state === peer.state) return;
    peer.state = state;
    const names = this.#transitions.get(state) ?? [];
    this.#transitions.set(state, [...names, peer.name]);
  }

  /** One line for all peers that changed in a round, however many they are. */
  #reportTransitions(): void {
    for (const [state, names] of this.#transitions) {
      const more = names.length > NAMES_MAX ? ` and ${names.length - NAMES_MAX} more` : '';
      const message = `${names.length === 1 ? '1 peer is' : `${names.length} peers are`} ${DESCRIPTIONS[state]}: ${names.slice(0, NAMES_MAX).join(', ')}${more}`;
      if (state === 'answers') this.#log.info(message);
      else this.#log.warn(`${message}; run \`ripstop doctor\``);
      this.#recordEvent(state === 'answers' ? 'Normal' : 'Warning', message);
    }
    this.#transitions.clear();
  }

  /** Loaded with the first probe: the package `raw-socket` has an addon of its own, which must not delay the start. */
  async #open(): Promise<Prober> {
    const { Prober } = await import('./prober.ts');
    if (this.#prober) return this.#prober;
    this.#prober = new Prober();
    const { fault, socketKind } = this.#prober;
    if (fault !== undefined) this.#log.warn(`probing with raw sockets of Ripstop's own addon: ${fault}`);
    this.#log.debug({ sockets: socketKind }, 'probing peers');
    return this.#prober;
  }
}

/** What the monitor needs of an agent. */
interface Monitored {
  readonly options: { readonly netns: string; readonly probeMs: number };
  readonly network: { readonly overlays: readonly Overlay[] } | undefined;
}

/** The monitor of an agent. Raw sockets belong to the namespace of the process: peers of another one are not probed. */
export function monitorOf(agent: Monitored, events: EventRecorder, log: Log): PeerMonitor {
  return new PeerMonitor(
    () => agent.network?.overlays ?? [],
    agent.options.netns === '' ? agent.options.probeMs : 0,
    log,
    (type, message) => events.record(type, 'RipstopPeers', message),
  );
}
