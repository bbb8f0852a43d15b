import type { Settings } from '../config/settings.ts';

/** Names of the triggers. */
export const TRIGGERS = ['peer-loss', 'worker-lag', 'too-big', 'reset'] as const;
export type Trigger = (typeof TRIGGERS)[number];

/** Time in which a trigger freezes the recorder at most once, ms. */
const QUIET_MS = 60_000;
/** Lost frames of a peer within one look from which its share counts: a single frame may be half of all. */
const LOST_MIN = 10;

/** What a data plane has counted since its start; peers by id. */
export interface Observed {
  readonly tooBig: number;
  /** Response time of the slowest worker, ms: of the last request. */
  readonly lagMs: number;
  readonly peers: ReadonlyMap<string, { readonly lost: number; readonly carried: number }>;
  /** A connection that a RST ended after it had carried data. */
  readonly reset: string | undefined;
}

type Limits = Pick<Settings, 'triggerPeerLoss' | 'triggerWorkerLag' | 'triggerTooBig' | 'triggerReset'>;

/** Why the recorder is frozen. */
export interface Fired {
  readonly trigger: Trigger;
  /** For the log line and the Event. */
  readonly reason: string;
}

/** Decides when the flight recorder of one data plane is frozen. */
export class Triggers {
  readonly #now: () => number;
  #before: Observed | undefined;
  readonly #firedAt = new Map<Trigger, number>();

  /** @param now monotonic ms */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** Compares with the observation before. The first one only sets the base. */
  look(observed: Observed, limits: Limits): Fired[] {
    const before = this.#before;
    this.#before = observed;
    if (!before) return [];
    const reasons: Record<Trigger, string | undefined> = {
      'peer-loss': peerLoss(before, observed, limits.triggerPeerLoss),
      'worker-lag': workerLag(observed, limits.triggerWorkerLag),
      'too-big': limits.triggerTooBig ? tooBig(before, observed) : undefined,
      reset: limits.triggerReset && observed.reset ? `RST after data: ${observed.reset}` : undefined,
    };
    return TRIGGERS.flatMap(trigger => {
      const reason = reasons[trigger];
      if (reason === undefined || this.isQuiet(trigger)) return [];
      this.#firedAt.set(trigger, this.#now());
      return [{ trigger, reason }];
    });
  }

  /** True while the trigger cannot fire: its reason need not be looked for. */
  isQuiet(trigger: Trigger): boolean {
    const at = this.#firedAt.get(trigger);
    return at !== undefined && this.#now() - at < QUIET_MS;
  }
}

function peerLoss(before: Observed, now: Observed, limit: number): string | undefined {
  if (limit === 0) return undefined;
  for (const [id, { lost, carried }] of now.peers) {
    const old = before.peers.get(id);
    // A slot that passed to another peer begins again.
    const lostNow = Math.max(0, lost - (old?.lost ?? 0));
    const share = (100 * lostNow) / (lostNow + Math.max(0, carried - (old?.carried ?? 0)));
    if (lostNow >= LOST_MIN && share > limit)
      return `${lostNow} frames of peer ${id} lost, ${share.toFixed(1)} % of its traffic (limit ${limit} %)`;
  }
  return undefined;
}

function workerLag({ lagMs }: Observed, limit: number): string | undefined {
  if (limit === 0 || lagMs <= limit) return undefined;
  return `a worker did not respond for ${Math.round(lagMs)} ms (limit ${limit} ms)`;
}

function tooBig(before: Observed, now: Observed): string | undefined {
  const frames = now.tooBig - before.tooBig;
  return frames > 0 ? `${frames} frames exceeded the path MTU` : undefined;
}
