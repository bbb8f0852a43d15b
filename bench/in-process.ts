import { launch } from '../src/lab/proc.ts';
import { PATIENCE_MS } from '../src/lab/until.ts';
import type { Progress } from './demo/progress.ts';
import { CHECKOUT } from './lab/tool.ts';
import type { MicroResult } from './micro/main.ts';
import type { PathResult } from './path/main.ts';
import type { StallResult } from './path/stall.ts';
import type { FigureId, Sample } from './report/samples.ts';
import { COMPILE_FLAG } from './soak/collections.ts';

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
    const lines = (await child.success(PATIENCE_MS + MICRO_CASES * seconds * 3000)).trim().split('\n');
    for (const { name, size, nsPerOp } of lines.map(line => JSON.parse(line) as MicroResult)) {
      nsPerOp.forEach((value, round) => {
        samples.push({ suite: 'micro', contender: name, condition: size, figure: 'nsPerOp', round, value });
      });
    }
  }
  return samples;
}

/** Direction, mode, peers, and whether a capture could look on: work must not grow with the tables. */
const PATH_ROWS = [
  ['egress', 'vxlan', 2, false],
  ['egress', 'vxlan', 2, true],
  ['egress', 'vxlan', 10, false],
  ['egress', 'vxlan', 100, false],
  ['egress', 'vxlan', 1000, false],
  ['egress', 'vxlan', 10_000, false],
  ['ingress', 'vxlan', 2, false],
  ['ingress', 'vxlan', 2, true],
  ['ingress', 'vxlan', 1000, false],
  ['egress', 'udp', 2, false],
  ['egress', 'udp', 1000, false],
  ['ingress', 'udp', 2, false],
  ['ingress', 'udp', 1000, false],
] as const;
/** Starts path/main.ts. */
export const PATH_PROGRAM = ['--expose-gc', COMPILE_FLAG, `${CHECKOUT}dist/bench/path/main.js`];
/** Peers whose tables are published again while frames are forwarded. */
const STALL_PEERS = 1000;

type Values = Partial<Record<FigureId, number>>;
const PATH_START = 0.7;

export const pathSeconds = (rounds: number, seconds: number) =>
  (PATH_ROWS.length + 1) * rounds * (seconds + PATH_START);

/** @param seconds a row and round */
export async function runPath(rounds: number, seconds: number, progress: Progress): Promise<Sample[]> {
  const samples: Sample[] = [];
  for (let round = 0; round < rounds; round++) {
    const take = (suite: string, contender: string, condition: string, values: Values) => {
      for (const [figure, value] of Object.entries(values))
        samples.push({ suite, contender, condition, figure, round, value });
    };
    for (const [direction, mode, peers, watched] of PATH_ROWS) {
      const contender = `${direction}, ${mode}`;
      const more = watched ? ', capture off' : '';
      const condition = `${peers} peers${more}`;
      progress.step(`path: ${contender}, ${condition}`, seconds + PATH_START);
      const row = [direction, mode, `${peers}`, watched ? '1' : '0'];
      const child = launch([process.execPath, ...PATH_PROGRAM, ...row, `${seconds}`]);
      const result = JSON.parse(await child.success(PATIENCE_MS + seconds * 2000)) as PathResult;
      const perSecond = result.frames / result.seconds;
      take('path', contender, condition, {
        mpps: perSecond / 1e6,
        nsPerFrame: 1e9 / perSecond,
        collections: result.collections,
        tableBytes: result.tableBytes,
        publishMs: result.publishMs,
      });
    }
    const condition = `${STALL_PEERS} peers`;
    progress.step(`path: ${condition} published again`, seconds + PATH_START);
    const program = [process.execPath, `${CHECKOUT}dist/bench/path/stall.js`, `${STALL_PEERS}`, `${seconds}`];
    const lines = (await launch(program).success(PATIENCE_MS + seconds * 2000)).trim().split('\n');
    const [rest, busy] = lines.map(line => JSON.parse(line) as StallResult);
    take('update', 'tables at rest', condition, { stallUs: rest!.stallUs, gapUs: rest!.gapUs });
    take('update', 'tables published', condition, { stallUs: busy!.stallUs, gapUs: busy!.gapUs });
  }
  return samples;
}
