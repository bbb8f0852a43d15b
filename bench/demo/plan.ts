/** How much is measured. Seconds are per measurement and contender. */
export interface Plan {
  pings: number;
  transferBytes: number;
  throughput: Measure;
  /** Four streams at once, and the way back; absent in a quick run. */
  parallel?: Measure;
  reverse?: Measure;
  latency: Measure;
  packets: Measure;
  /** Seconds after which one round of what is left is enough: a busy machine gets fewer rounds, not a later answer. */
  enoughAfter?: number;
}

export interface Measure {
  rounds: number;
  seconds: number;
}

export const QUICK: Plan = {
  pings: 10,
  transferBytes: 200_000_000,
  throughput: { rounds: 3, seconds: 2 },
  latency: { rounds: 1, seconds: 2 },
  packets: { rounds: 1, seconds: 2 },
  enoughAfter: 18,
};

/** Does it work at all: nothing is measured. */
export const CHECK: Plan = {
  pings: 5,
  transferBytes: 20_000_000,
  throughput: { rounds: 0, seconds: 0 },
  latency: { rounds: 0, seconds: 0 },
  packets: { rounds: 0, seconds: 0 },
};

export const FULL: Plan = {
  pings: 20,
  transferBytes: 1_000_000_000,
  throughput: { rounds: 5, seconds: 4 },
  parallel: { rounds: 3, seconds: 4 },
  reverse: { rounds: 3, seconds: 4 },
  latency: { rounds: 3, seconds: 3 },
  packets: { rounds: 3, seconds: 3 },
};

/** UDP payload of the packet rate, bytes. */
export const PACKET_BYTES = 64;
/** Time for starting and ending a measurement, in seconds. */
export const AROUND = 0.5;
/** For the estimate of the transfer: a slow tunnel's Gbit/s. */
export const SLOW_GBIT = 4;

export const transferSeconds = (bytes: number) => AROUND + (bytes * 8) / 1e9 / SLOW_GBIT;

/** What a run takes for `contenders` of them, seconds. */
export function planSeconds(plan: Plan, contenders: number): number {
  const measures = [plan.throughput, plan.parallel, plan.reverse, plan.latency, plan.packets];
  const each = measures.reduce((sum, m) => sum + (m ? m.rounds * (m.seconds + AROUND) : 0), 0);
  return contenders * (1 + plan.pings * 0.05 + transferSeconds(plan.transferBytes) + each);
}
