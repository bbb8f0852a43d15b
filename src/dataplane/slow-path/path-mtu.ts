import type { Family } from '../../../encap/encap.ts';
import { MIN_UNDERLAY } from '../../../encap/mtu.ts';

/*
 * Path MTU by peer. A state machine with time as an argument:
 *
 *   OPEN      path MTU = what the underlay interface takes (the ceiling)
 *     | a datagram was refused with EMSGSIZE
 *     v
 *   LOWERED   path MTU = the kernel's MTU of the route; after `retryMs` it is `due`: ask the kernel again
 *     |                  (its own memory of a lowered path ends after net.ipv4.route.mtu_expires, 10 minutes)
 *     | larger: raise it, to OPEN at the ceiling; equal: stay and ask later; smaller: lower it
 */

/** Sizes of real paths in falling order (RFC 1191 section 7.1), for a refusal that the kernel does not explain. */
const PLATEAUS = [32000, 17914, 8166, 4352, 2002, 1492, 1006, 508, 296, 68];

interface PathMtuOptions {
  /** How long a lowered path stays lowered before the kernel is asked again. Default 10 minutes (RFC 1191 section 6.3). */
  retryMs?: number;
  /**
   * Path MTUs below are ignored, by underlay family: forged ICMP errors must not shrink the tunnel to nothing.
   * Default 552 (the kernel's min_pmtu) and 1280.
   */
  floor?: Readonly<Record<Family, number>>;
}

interface State {
  family: Family;
  ceiling: number;
  current: number;
  /** When to ask again; Infinity while OPEN. */
  dueMs: number;
}

export class PathMtus {
  readonly #retryMs: number;
  readonly #floor: Readonly<Record<Family, number>>;
  readonly #states = new Map<number, State>();

  constructor(options: PathMtuOptions = {}) {
    this.#retryMs = options.retryMs ?? 600_000;
    this.#floor = options.floor ?? { 4: 552, 6: MIN_UNDERLAY[6] };
  }

  /**
   * Adds a peer, or updates its interface MTU (`ceiling`). A lowered path MTU is kept, unless the
   * underlay address moved (`moved`) or changed its family.
   */
  set(peer: number, family: Family, ceiling: number, moved = false): void {
    const old = this.#states.get(peer);
    const keep =
      old &&
      old.family === family &&
      !moved &&
      old.dueMs !== Number.POSITIVE_INFINITY &&
      old.current < ceiling;
    const state = keep
      ? { ...old, ceiling }
      : { family, ceiling, current: ceiling, dueMs: Number.POSITIVE_INFINITY };
    this.#states.set(peer, state);
  }

  forget(peer: number): void {
    this.#states.delete(peer);
  }

  /**
   * The kernel refused an outer IP packet of `bytes` to `peer` with EMSGSIZE; `kernelMtu` is the kernel's MTU of
   * the route (0 or -errno: unknown).
   * @returns the new path MTU, or undefined when it is unchanged
   */
  onPacketTooBig(peer: number, bytes: number, kernelMtu: number, nowMs: number): number | undefined {
    const state = this.#states.get(peer);
    // The path MTU was lowered below `bytes` already: the refusal is older.
    if (!state || bytes > state.current) return undefined;
    const explained = kernelMtu > 0 && kernelMtu < bytes;
    return this.#lower(state, explained ? kernelMtu : plateauBelow(bytes), nowMs);
  }

  /** Peers whose lowered path MTU it is time to ask the kernel about. */
  due(nowMs: number): number[] {
    const peers = [];
    for (const [peer, state] of this.#states) if (nowMs >= state.dueMs) peers.push(peer);
    return peers;
  }

  /** The kernel's answer for a peer that was due. @returns the new path MTU, or undefined when it is unchanged */
  onRouteMtu(peer: number, kernelMtu: number, nowMs: number): number | undefined {
    const state = this.#states.get(peer);
    if (!state) return undefined;
    if (kernelMtu <= 0 || kernelMtu === state.current) {
      if (state.current < state.ceiling) state.dueMs = nowMs + this.#retryMs;
      return undefined;
    }
    if (kernelMtu < state.current) return this.#lower(state, kernelMtu, nowMs);
    const raised = Math.min(kernelMtu, state.ceiling);
    state.dueMs = raised < state.ceiling ? nowMs + this.#retryMs : Number.POSITIVE_INFINITY;
    if (raised === state.current) return undefined;
    state.current = raised;
    return raised;
  }

  /** The path MTU of `peer`, or undefined when there is no such peer. */
  get(peer: number): number | undefined {
    return this.#states.get(peer)?.current;
  }

  /** Peers with a path MTU below the interface MTU. */
  get lowered(): number {
    let count = 0;
    for (const state of this.#states.values()) if (state.current < state.ceiling) count++;
    return count;
  }

  #lower(state: State, to: number, nowMs: number): number | undefined {
    const before = state.current;
    state.current = Math.min(before, Math.max(to, this.#floor[state.family]));
    state.dueMs = state.current < state.ceiling ? nowMs + this.#retryMs : Number.POSITIVE_INFINITY;
    return state.current < before ? state.current : undefined;
  }
}

function plateauBelow(bytes: number): number {
  return PLATEAUS.find(size => size < bytes) ?? 68;
}
