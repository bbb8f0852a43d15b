import type { Progress } from './demo/progress.ts';
import { CHECKOUT } from './lab/gauge.ts';
import { launch } from './lab/proc.ts';
import type { MicroResult } from './micro/main.ts';
import type { PathResult } from './path/main.ts';
import type { Sample } from './report/samples.ts';

/* The two suites that need no network: every row in a process of its own. */

export const MICRO_SUITES = ['lookups', 'headers', 'checksums', 'nativeCalls'] as const;
/** Cases of all suites, for the estimate. */
const MICRO_CASES = 20;

export const microSeconds = (seconds: number) => MICRO_SUITES.length + MICRO_CASES * seconds;

/** @param seconds a case */
export async function runMicro(seconds: number, progress: Progress): Promise<Sample[]> {
  const samples: Sample[] = [];
  for (const suite of MICRO_SUITES) {
    progress.step(`micro: ${suite}`, microSeconds(seconds) / MICRO_SUITES.length);
    const child = launch([process.execPath, `${CHECKOUT}dist/bench/micro/main.js`, suite, `${seconds}`]);
    const lines = (await child.success(120_000 + MICRO_CASES * seconds * 3000)).trim().split('\n');
    for (const { name, size, nsPerOp } of lines.map(line => JSON.parse(line) as MicroResult)) {
      nsPerOp.forEach((value, round) => {
        samples.push({ suite: 'micro', contender: name, condition: size, figure: 'nsPerOp', round, value });
      });
    }
  }
  return samples;
}

/** Direction, mode, peers, further MACs: work must not grow with the tables. */
const PATH_ROWS = [
  ['egress', 'vxlan', 2, 0],
  ['egress', 'vxlan', 100, 0],
  ['egress', 'vxlan', 1000, 0],
  ['egress', 'vxlan', 1000, 9_000],
  ['egress', 'vxlan', 1000, 99_000],
  ['ingress', 'vxlan', 2, 0],
  ['ingress', 'vxlan', 1000, 0],
  ['egress', 'udp', 2, 0],
  ['egress', 'udp', 1000, 0],
  ['ingress', 'udp', 2, 0],
  ['ingress', 'udp', 1000, 0],
] as const;

const PATH_START = 0.7;

export const pathSeconds = (rounds: number, seconds: number) =>
  PATH_ROWS.length * rounds * (seconds + PATH_START);

/** @param seconds a row and round */
export async function runPath(rounds: number, seconds: number, progress: Progress): Promise<Sample[]> {
  const samples: Sample[] = [];
  for (let round = 0; round < rounds; round++) {
    for (const [direction, mode, peers, stations] of PATH_ROWS) {
      const contender = `${direction}, ${mode}`;
      const condition = stations > 0 ? `${peers} peers, ${peers + stations} MACs` : `${peers} peers`;
      progress.step(`path: ${contender}, ${condition}`, seconds + PATH_START);
      const program = [process.execPath, '--expose-gc', `${CHECKOUT}dist/bench/path/main.js`];
      const child = launch([...program, direction, mode, `${peers}`, `${stations}`, `${seconds}`]);
      const result = JSON.parse(await child.success(60_000 + seconds * 2000)) as PathResult;
      const perSecond = result.frames / result.seconds;
      const values = {
        mpps: perSecond / 1e6,
        nsPerFrame: 1e9 / perSecond,
        collections: result.collections,
        tableBytes: result.tableBytes,
        publishMs: result.publishMs,
      };
      for (const [figure, value] of Object.entries(values))
        samples.push({ suite: 'path', contender, condition, figure, round, value });
    }
  }
  return samples;
}
