import type { Machine, Versions } from '../lab/versions.ts';
import { allWorked, type Figures, type Medians, median, medians } from './figures.ts';
import type { DemoOptions } from './options.ts';
import { PACKET_BYTES, type Plan } from './plan.ts';

/** One figure of both contenders; `kernel` and `ratio` are null without kernel VXLAN or where a measurement failed. */
export interface Pair<T = number> {
  ripstop: T | null;
  kernel: T | null;
}

export interface Compared extends Pair {
  /** ripstop / kernel. */
  ratio: number | null;
}

/** What `--json` prints; docs/guides/benchmark/demo.md describes every field. */
export interface DemoReport {
  format: 'ripstop-demo/1';
  ok: boolean;
  errors: string[];
  mode: string;
  inner: 4 | 6;
  underlay: 4 | 6;
  condition: string;
  mtu: Pair;
  run: 'full' | 'quick' | 'check';
  seconds: number;
  ping: Pair<{ sent: number; received: number; averageMs: number | null }>;
  transfer: Pair<{ bytes: number; sent: string; received: string; intact: boolean; gbitPerSecond: number }>;
  throughput: Compared & {
    unit: 'Gbit/s';
    congestion: string;
    samples: { ripstop: number[]; kernel: number[] };
    parallel: Compared;
    reverse: Compared;
  };
  latency: { unit: 'us'; p50: Compared; p99: Compared };
  packets: Compared & { unit: 'packets/s'; bytes: number; loss: Pair };
  cpu: Compared & { unit: 's/GB' };
  versions: Record<keyof Versions, string | null>;
  machine: Machine;
}

export interface Ran {
  options: DemoOptions;
  plan: Plan;
  seconds: number;
  ripstop: Figures;
  /** undefined when it was not wanted. */
  kernel: Figures | undefined;
  mtu: { ripstop: number | undefined; kernel: number | undefined };
  versions: Versions;
  machine: Machine;
}

const rounded = (value: number | undefined, digits: number): number | null =>
  value === undefined ? null : Number(value.toFixed(digits));

/** The report of a run. */
export function makeReport({ options, seconds, ripstop, kernel, mtu, versions, machine }: Ran): DemoReport {
  const own = medians(ripstop);
  const other: Partial<Medians> = kernel ? medians(kernel) : {};
  const compare = (name: keyof Medians, digits: number): Compared => {
    const [a, b] = [own[name], other[name]];
    const ratio = a === undefined || b === undefined || b === 0 ? undefined : a / b;
    return { ripstop: rounded(a, digits), kernel: rounded(b, digits), ratio: rounded(ratio, 3) };
  };
  const both = <T>(of: (figures: Figures) => T | null): Pair<T> => ({
    ripstop: of(ripstop),
    kernel: kernel ? of(kernel) : null,
  });
  return {
    format: 'ripstop-demo/1',
    ok: allWorked(ripstop) && (kernel === undefined || allWorked(kernel)),
    errors: [...ripstop.errors, ...(kernel?.errors ?? [])],
    mode: options.mode,
    inner: options.inner,
    underlay: options.underlay,
    condition: options.condition,
    mtu: { ripstop: mtu.ripstop ?? null, kernel: mtu.kernel ?? null },
    run: options.check ? 'check' : options.quick ? 'quick' : 'full',
    seconds: Number(seconds.toFixed(1)),
    ping: both(({ ping }) => (ping ? { ...ping, averageMs: rounded(ping.averageMs, 3) } : null)),
    transfer: both(({ transfer: t }) => {
      if (!t) return null;
      const gbitPerSecond = Number(((t.bytes * 8) / 1e9 / t.seconds).toFixed(3));
      return { bytes: t.bytes, sent: t.sent, received: t.received, intact: t.intact, gbitPerSecond };
    }),
    throughput: {
      unit: 'Gbit/s',
      ...compare('gbit', 3),
      congestion: ripstop.throughput[0]?.congestion ?? '',
      samples: { ripstop: samples(ripstop), kernel: kernel ? samples(kernel) : [] },
      parallel: compare('gbitParallel', 3),
      reverse: compare('gbitReverse', 3),
    },
    latency: { unit: 'us', p50: compare('p50', 1), p99: compare('p99', 1) },
    packets: {
      unit: 'packets/s',
      bytes: PACKET_BYTES,
      ...compare('packets', 0),
      loss: both(f => rounded(median(f.packets.map(r => r.loss)), 4)),
    },
    cpu: { unit: 's/GB', ...compare('cpu', 2) },
    versions: { ...versions, commit: versions.commit ?? null, iperf3: versions.iperf3 ?? null },
    machine,
  };
}

const samples = (figures: Figures) => figures.throughput.map(r => Number(r.gbitPerSecond.toFixed(3)));
