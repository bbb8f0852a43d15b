import type { BenchFile, Sample } from '../../../bench/report/samples.ts';

/** A file of `--json` with these samples. */
export function file(samples: Sample[], commit = 'abc1234'): BenchFile {
  return {
    format: 'ripstop-bench/1',
    began: '2026-01-02T03:04:05.000Z',
    seconds: 61,
    versions: { ripstop: '0.1.0', commit, node: 'v20.0.0', kernel: '6.18', iperf3: '3.12' },
    machine: { processor: 'a <fast> one', cores: 2 },
    inner: 4,
    underlay: 4,
    congestion: 'cubic',
    labels: { vxlan: 'Ripstop vxlan', kernel: 'kernel VXLAN' },
    samples,
    missing: [
      { suite: 'e2e', contender: 'fastd', condition: '', figure: '', reason: 'not installed | nor wanted' },
    ],
  };
}

/** Samples of one figure, one per round. */
export const e2e = (contender: string, figure: string, values: number[], condition = 'wirecs'): Sample[] =>
  values.map((value, round) => ({ suite: 'e2e', contender, condition, figure, round, value }));

/** One contender that wins and one that loses against the kernel. */
export const RUN = file([
  ...e2e('kernel', 'tcp1', [5, 5.2, 4.9, 5.1, 5]),
  ...e2e('vxlan', 'tcp1', [6, 6.1, 5.9, 6, 6.2]),
  ...e2e('kernel', 'rr50', [70, 71, 72, 70, 69]),
  ...e2e('vxlan', 'rr50', [1480, 141, 139, 1420, 1400]),
  { suite: 'micro', contender: 'FDB, MAC', condition: '1000', figure: 'nsPerOp', round: 0, value: 9.04 },
]);
