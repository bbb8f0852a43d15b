/*
 * Throughput: the highest rate at which a trial passes (RFC 2544 section 26.1), by binary search.
 */

/** What one trial at a rate was. */
export interface Trial {
  /** Packets per second that were sent, and that arrived. */
  readonly offered: number;
  readonly arrived: number;
  /** Share of the packets that were lost, 0 to 1. */
  readonly loss: number;
}

export interface SearchOptions {
  /** Largest share of lost packets with which a trial passes, 0 to 1. */
  readonly lossLimit: number;
  /** The search ends when its bounds are this close, relative to the upper one. */
  readonly precision: number;
}

/**
 * A queue before a bottleneck takes what is too much without a loss, for a while. What arrives then comes at the rate of the
 * bottleneck: a trial passes only if its packets also arrived at the rate at which they were sent.
 */
const RATE_KEPT = 0.995;
/** Distance of the first trials from what arrived when as much as possible was sent. */
const BRACKET = 0.02;
const TRIALS_MAX = 24;

export function passes({ offered, arrived, loss }: Trial, { lossLimit }: SearchOptions): boolean {
  return loss <= lossLimit && arrived >= offered * (1 - lossLimit) * RATE_KEPT;
}

/**
 * @param most the trial in which as much as possible was sent
 * @param run a trial at a rate in packets per second
 * @returns the best trial that passed, undefined if none did, and all trials
 */
export async function searchThroughput(
  most: Trial,
  run: (packetsPerSecond: number) => Promise<Trial>,
  options: SearchOptions,
): Promise<{ readonly best: Trial | undefined; readonly trials: readonly Trial[] }> {
  if (passes(most, options)) return { best: most, trials: [most] };
  const trials: Trial[] = [most];
  let best: Trial | undefined;
  let low = 0;
  let high = most.offered;
  const attempt = async (rate: number): Promise<boolean> => {
    const trial = await run(rate);
    trials.push(trial);
    const isGood = passes(trial, options);
    if (isGood && (best === undefined || trial.arrived > best.arrived)) best = trial;
    // A sender that does not reach a rate reaches no higher one either.
    if (isGood && trial.offered >= rate * RATE_KEPT) low = Math.max(low, rate);
    else high = Math.min(high, rate);
    return isGood;
  };
  const guess = Math.min(most.arrived, high);
  if (guess > 0 && (await attempt(guess * (1 - BRACKET))))
    await attempt(Math.min(high, guess * (1 + BRACKET)));
  while (high - low > high * options.precision && trials.length < TRIALS_MAX) await attempt((low + high) / 2);
  return { best, trials };
}

/**
 * The longest burst without a loss (RFC 2544 section 26.4), by doubling and then by halves.
 * @param run sends a burst; whether all of it arrived
 * @returns packets, 0 when not even the shortest passed
 */
export async function searchBurst(max: number, run: (packets: number) => Promise<boolean>): Promise<number> {
  let good = 0;
  let bad = max + 1;
  for (let packets = 2; packets < bad; packets *= 2) {
    if (await run(packets)) good = packets;
    else bad = packets;
  }
  if (bad > max && (await run(max))) return max;
  bad = Math.min(bad, max);
  while (bad - good > Math.max(1, good / 32)) {
    const middle = Math.floor((good + bad) / 2);
    if (await run(middle)) good = middle;
    else bad = middle;
  }
  return good;
}
