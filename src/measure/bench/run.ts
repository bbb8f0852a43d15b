import { RipstopError } from '../../base/errors.ts';
import { formatRate } from '../../base/text/quantity.ts';
import { formatEndpoint } from '../../ip/address.ts';
import type { SinkClient } from '../control/client.ts';
import { measureLimit } from '../send/self-test.ts';
import type { Target } from '../send/target.ts';
import type { Rate } from '../stream/plan.ts';
import type { StreamReport } from '../stream/report.ts';
import { runStream } from '../stream/run.ts';
import type { FigureId } from './figures.ts';
import { type BenchReport, type BenchSample, cellsOf, type Point } from './report.ts';
import { searchBurst, searchThroughput, type Trial } from './search.ts';
import { tcpLimit, transfer } from './tcp.ts';

export interface BenchPlan {
  readonly to: Target;
  /** Own address. */
  readonly source: string;
  /** Bytes of IP packets. */
  readonly sizes: readonly number[];
  readonly repeats: number;
  readonly trialMs: number;
  /** 0 to 1. */
  readonly lossLimit: number;
  readonly flows: number;
  readonly gso: boolean;
  readonly hasTcp: boolean;
}

export interface BenchHooks {
  readonly signal: AbortSignal;
  /** @param done share of the work, 0 to 1 */
  readonly onProgress: (what: string, done: number) => void;
}

/** The search ends within this share of the rate. */
const PRECISION = 0.01;
/** Shares of the throughput at which the loss curve has points besides those of the search. */
const CURVE = [0.5, 1.1, 1.25, 1.5];
const LOADS = [10, 50, 90] as const;
const BURST_MAX = 16_384;
/** Packets per second that take round trips while TCP fills the path. */
const LOADED_RATE = 200;
const IDLE_RATE = 500;
const IDLE_BYTES = 128;
/** TCP carries more than UDP for sure. */
const MORE = 1.05;
/** Enough for the sink's UDP port to answer; round trips do not need the offset of the clocks. */
const PROBES = 10;
/** A paced trial that sent less than this share of its rate did not keep it; it is tried so often. */
const KEPT = 0.99;
const TRIES = 3;
/** Repeats that differ by more than this share of their median are noisy. */
const NOISY = 0.1;

/** Measures a path. Everything is repeated as a whole, so that what changes over time is part of the differences. */
export async function runBench(client: SinkClient, plan: BenchPlan, hooks: BenchHooks): Promise<BenchReport> {
  const bench = new Bench(client, plan, hooks);
  return bench.run();
}

class Bench {
  readonly #client: SinkClient;
  readonly #plan: BenchPlan;
  readonly #hooks: BenchHooks;
  readonly #samples: BenchSample[] = [];
  readonly #curve: Point[] = [];
  readonly #notes = new Set<string>();
  readonly #limits = new Map<number, number>();
  #repeat = 0;
  #unkept = 0;
  #steps = 0;

  constructor(client: SinkClient, plan: BenchPlan, hooks: BenchHooks) {
    this.#client = client;
    this.#plan = plan;
    this.#hooks = hooks;
  }

  async run(): Promise<BenchReport> {
    const { to, sizes, repeats, trialMs, lossLimit, flows, gso } = this.#plan;
    const began = new Date();
    const start = performance.now();
    for (const size of sizes)
      this.#limits.set(
        size,
        await measureLimit({
          ...{ sizes: Uint16Array.of(size), gso, family: to.family },
          flows: { count: flows, ports: undefined, queues: undefined },
        }),
      );
    for (this.#repeat = 1; this.#repeat <= repeats && !this.#isStopped; this.#repeat++)
      await this.#measureAll();
    if (this.#unkept > 0)
      this.#notes.add(
        `This machine was busy: in ${this.#unkept} trials it did not send at the rate that was asked for.`,
      );
    if (this.#isStopped) this.#notes.add('The run was stopped: the last repeat is not whole.');
    return {
      peer: formatEndpoint(to.address, to.port),
      began: began.toISOString(),
      seconds: Number(((performance.now() - start) / 1000).toFixed(1)),
      trialSeconds: trialMs / 1000,
      lossLimitPercent: lossLimit * 100,
      ...{ sizes: [...sizes], repeats, samples: this.#samples },
      curve: this.#curve.toSorted((a, b) => a.size - b.size || a.offered - b.offered),
      noisy: noisyOf(this.#samples),
      notes: [...this.#notes],
    };
  }

  get #isStopped(): boolean {
    return this.#hooks.signal.aborted;
  }

  async #measureAll(): Promise<void> {
    const { sizes, hasTcp } = this.#plan;
    const idle = await this.#stream(
      IDLE_BYTES,
      { unit: 'packets', perSecond: IDLE_RATE },
      'idle round trips',
    );
    this.#add(0, 'rttIdle', idle.roundTrip?.p50Us);
    let bits = 0;
    for (const size of sizes) {
      if (this.#isStopped) return;
      bits = Math.max(bits, await this.#measureSize(size));
    }
    this.#steps++;
    if (hasTcp && !this.#isStopped) await this.#measureTcp(bits, idle.roundTrip?.p50Us);
  }

  /** @returns its throughput, bit/s */
  async #measureSize(size: number): Promise<number> {
    const trial = async (perSecond: number): Promise<Trial> => this.#trial(size, perSecond, 'throughput');
    const most = await trial(Number.POSITIVE_INFINITY);
    const { best } = await searchThroughput(most, trial, {
      lossLimit: this.#plan.lossLimit,
      precision: PRECISION,
    });
    if (this.#isStopped) return 0;
    if (best === most && most.offered > 0.8 * (this.#limits.get(size) ?? Number.POSITIVE_INFINITY))
      this.#notes.add(
        `${size} bytes: as much as this generator sends passes (${formatRate(most.offered)}); the path may carry more.`,
      );
    if (!best) {
      this.#notes.add(`${size} bytes: no rate passed.`);
      return 0;
    }
    const throughput = best.arrived;
    this.#add(size, 'throughput', throughput);
    this.#add(size, 'throughputBits', throughput * size * 8);
    for (const load of LOADS) {
      if (this.#isStopped) return 0;
      const rate = { unit: 'packets', perSecond: (throughput * load) / 100 } as const;
      const { roundTrip } = await this.#stream(size, rate, `latency at ${load} %`);
      this.#add(size, `rtt${load}p50`, roundTrip?.p50Us);
      this.#add(size, `rtt${load}p99`, roundTrip?.p99Us);
    }
    for (const share of this.#repeat === 1 ? CURVE : [])
      if (!this.#isStopped) await this.#trial(size, throughput * share, 'loss curve');
    if (this.#isStopped) return 0;
    const burst = await searchBurst(BURST_MAX, packets => this.#burst(size, packets));
    this.#add(size, 'burst', burst);
    if (burst === BURST_MAX)
      this.#notes.add(`${size} bytes: a burst of ${BURST_MAX} packets passes; longer ones were not tried.`);
    this.#steps++;
    return throughput * size * 8;
  }

  /** A trial in which this machine did not keep the rate says nothing about the path: it is repeated. */
  async #trial(size: number, perSecond: number, what: string): Promise<Trial> {
    for (let tries = 1; ; tries++) {
      const { sent, received } = await this.#stream(size, { unit: 'packets', perSecond }, what);
      const loss = sent.packets === 0 ? 1 : (received?.lost ?? sent.packets) / sent.packets;
      // n packets have n - 1 distances, as in the rate of arrival.
      const offered = sent.packetsPerSecond * (1 - 1 / Math.max(1, sent.packets));
      const trial = { offered, arrived: received?.packetsPerSecond ?? 0, loss };
      const isKept = perSecond === Number.POSITIVE_INFINITY || trial.offered >= perSecond * KEPT;
      if (!isKept) this.#unkept++;
      if (!isKept && tries < TRIES && !this.#isStopped) continue;
      this.#curve.push({ size, offered: trial.offered, arrived: trial.arrived, lossPercent: loss * 100 });
      return trial;
    }
  }

  async #burst(size: number, packets: number): Promise<boolean> {
    if (this.#isStopped) return false;
    const most = { unit: 'packets', perSecond: Number.POSITIVE_INFINITY } as const;
    const { sent, received } = await this.#stream(size, most, `burst of ${packets}`, packets);
    return sent.packets === packets && received?.lost === 0;
  }

  async #stream(size: number, rate: Rate, what: string, packets = 4e9): Promise<StreamReport> {
    const { to, source, trialMs, flows, gso, sizes, repeats } = this.#plan;
    const done = this.#steps / (repeats * (sizes.length + 1));
    this.#hooks.onProgress(`repeat ${this.#repeat} of ${repeats}, ${size} bytes: ${what}`, done);
    const report = await runStream(
      this.#client,
      {
        ...{ to, source, rate, gso, packets },
        medium: { kind: 'udp' },
        sizes: Uint16Array.of(size),
        flows: { count: flows, ports: undefined, queues: undefined },
        durationMs: trialMs,
        limit: undefined,
        probes: PROBES,
      },
      { signal: this.#hooks.signal },
    );
    if (report.ended === 'sink gone')
      throw new RipstopError('EREFUSED', 'the sink went away', 'start it again');
    if ((report.received?.droppedBySink ?? 0) > 0)
      this.#notes.add(
        `${size} bytes: the sink was too slow for some packets. Losses at the highest rates are the sink's, not the path's.`,
      );
    return report;
  }

  /** RFC 6349: TCP throughput next to what the path allows, and the delay of its buffers. */
  async #measureTcp(bits: number, idleUs: number | undefined): Promise<void> {
    const { to, source, trialMs, sizes } = this.#plan;
    const carrying = transfer(to, isAny(source) ? undefined : source, trialMs, this.#hooks.signal);
    const rate = { unit: 'packets', perSecond: LOADED_RATE } as const;
    // Both are awaited whatever the other does.
    const [{ roundTrip }, carried] = await Promise.all([
      this.#stream(IDLE_BYTES, rate, 'TCP, and round trips meanwhile'),
      carrying,
    ]);
    const limit = tcpLimit(bits, Math.max(...sizes), to.family);
    this.#add(0, 'tcp', carried.bitsPerSecond);
    if (limit > 0) {
      this.#add(0, 'tcpLimit', limit);
      this.#add(0, 'tcpShare', (carried.bitsPerSecond / limit) * 100);
      if (carried.bitsPerSecond > limit * MORE)
        this.#notes.add(
          'TCP carried more than UDP: its large segments cost both hosts less per byte. With --gso, UDP has them as well.',
        );
    }
    this.#add(0, 'tcpEfficiency', carried.efficiency * 100);
    this.#add(0, 'rttLoaded50', roundTrip?.p50Us);
    this.#add(0, 'rttLoaded99', roundTrip?.p99Us);
    if (roundTrip && idleUs) this.#add(0, 'bufferDelay', ((roundTrip.meanUs - idleUs) / idleUs) * 100);
    this.#steps++;
  }

  #add(size: number, figure: FigureId, value: number | undefined): void {
    if (value === undefined || !Number.isFinite(value)) return;
    this.#samples.push({ size, figure, repeat: this.#repeat, value: Number(value.toPrecision(7)) });
  }
}

const isAny = (address: string): boolean => address === '0.0.0.0' || address === '::';

/** Figures whose repeats differ by more than a tenth of their median. */
function noisyOf(samples: readonly BenchSample[]): string[] {
  return cellsOf(samples)
    .filter(({ values, median, min, max }) => values.length > 1 && max - min > Math.abs(median) * NOISY)
    .map(({ size, figure }) => (size === 0 ? figure : `${figure} at ${size} bytes`));
}
