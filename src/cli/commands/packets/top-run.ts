import { setTimeout as sleep } from 'node:timers/promises';
import type { FlowsAnswer } from '../../../api/answers.ts';
import { createFlowFilter } from '../../../capture/flows/flow-filter.ts';
import { FLOW_ORDERS } from '../../../capture/flows/flow-order.ts';
import { OutputStream } from '../../../capture/sink/output-stream.ts';
import { resolvePods } from '../../pods.ts';
import { Screen } from '../../terminal/screen.ts';
import { stopOnSignal } from '../../terminal/stop.ts';
import { askFlows, type FlowsOptions } from './flows-run.ts';
import { showFlows } from './flows-view.ts';

export interface TopOptions extends Pick<FlowsOptions, 'by' | 'sort' | 'socket'> {
  /** Seconds. */
  readonly delay: number;
  readonly iterations?: number;
}

/** Lines of the screen above the rows: the title, the summary, the column titles. */
const HEAD_LINES = 3;
/** Maximum number of rows on a terminal. */
const SCREEN_ROWS = 500;
/** Number of rows without a terminal. */
const PRINTED_ROWS = 20;

/** `ripstop top`: refreshes a screen, or prints tables without a terminal. Ends on q, Ctrl-C or SIGTERM. @throws RipstopError */
export async function watchFlows(filter: string, options: TopOptions): Promise<void> {
  const wanted = await createFlowFilter(await resolvePods(options.socket, filter));
  const stop = stopOnSignal();
  const view = { by: options.by, sort: options.sort, isPaused: false };
  const most = process.stdout.isTTY ? SCREEN_ROWS : PRINTED_ROWS;
  const ask = () => askFlows({ socket: options.socket, sort: view.sort }, wanted, most);
  // The first request precedes the screen, so that its error stays visible.
  await ask();
  if (process.stdout.isTTY) await onScreen(ask, view, options, stop);
  else await printed(ask, view, options, stop.signal);
}

interface View {
  by: 'flow' | 'peer';
  sort: string;
  isPaused: boolean;
}

async function onScreen(
  ask: () => Promise<FlowsAnswer>,
  view: View,
  { delay, iterations = Number.POSITIVE_INFINITY }: TopOptions,
  stop: AbortController,
): Promise<void> {
  let answer: FlowsAnswer | undefined;
  const draw = () => {
    if (!answer) return;
    const state = `ripstop top, by ${view.sort}${view.isPaused ? ', paused' : ''}; keys: s p space q`;
    const { columns } = screen;
    const rows = screen.rows - HEAD_LINES;
    screen.show(`${state}\n${showFlows(answer, { by: view.by, rows, columns })}`);
  };
  const refresh = async () => {
    answer = await ask();
    draw();
  };
  const screen = new Screen(process.stdin, process.stdout, key => {
    if (key === 'q') stop.abort();
    if (key === 'p') view.by = view.by === 'flow' ? 'peer' : 'flow';
    if (key === ' ') view.isPaused = !view.isPaused;
    if (key === 's') view.sort = FLOW_ORDERS[FLOW_ORDERS.indexOf(view.sort) + 1] ?? 'rate';
    if (key === 's' && answer) void refresh().catch(() => {});
    else draw();
  });
  process.stdout.on('resize', draw);
  try {
    for (let shown = 0; shown < iterations && !stop.signal.aborted; shown++) {
      if (!view.isPaused) await refresh();
      await pause(delay, stop.signal);
    }
  } finally {
    process.stdout.off('resize', draw);
    screen.leave();
  }
}

async function printed(
  ask: () => Promise<FlowsAnswer>,
  { by }: View,
  { delay, iterations = 1 }: TopOptions,
  stop: AbortSignal,
): Promise<void> {
  const out = new OutputStream(process.stdout);
  for (let shown = 0; shown < iterations && !stop.aborted; shown++) {
    await pause(delay, stop);
    if (stop.aborted) return;
    const text = showFlows(await ask(), { by, rows: PRINTED_ROWS });
    await out.write(`${shown > 0 ? '\n' : ''}${new Date().toISOString().slice(11, 19)} ${text}`);
  }
}

/** Waits, at most until the signal. */
async function pause(seconds: number, signal: AbortSignal): Promise<void> {
  await sleep(seconds * 1000, undefined, { signal }).catch(() => {});
}
