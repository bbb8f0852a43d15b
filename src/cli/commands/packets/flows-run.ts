import { setTimeout as sleep } from 'node:timers/promises';
import type { FlowsAnswer } from '../../../api/answers.ts';
import { getJson, openFlowLog } from '../../../api/client.ts';
import { createFlowFilter, type FiveTuple } from '../../../capture/flows/flow-filter.ts';
import { readFiveTuple } from '../../../capture/flows/flow-log.ts';
import { OutputStream } from '../../../capture/sink/output-stream.ts';
import { objectText } from '../../json/print.ts';
import type { OutputOptions } from '../../options.ts';
import { resolvePods } from '../../pods.ts';
import { stopOnSignal } from '../../terminal/stop.ts';
import { showFlows } from './flows-view.ts';

export interface FlowsOptions extends OutputOptions {
  readonly by: 'flow' | 'peer';
  readonly sort: string;
  readonly rows: number;
  readonly seconds: number;
  readonly socket: string;
  readonly log?: true;
}

/** `ripstop flows`: prints the flow table once. @throws RipstopError */
export async function listFlows(filter: string, options: FlowsOptions): Promise<void> {
  const wanted = await createFlowFilter(await resolvePods(options.socket, filter));
  const ask = () => askFlows(options, wanted, options.rows);
  let answer = await ask();
  const since = Math.max(...answer.overlays.map(overlay => Date.parse(overlay.since)));
  const missing = since + options.seconds * 1000 - Date.now();
  if (missing > 0) {
    await sleep(missing);
    answer = await ask();
  }
  const rows = options.rows === 0 ? answer.total : options.rows;
  const text = options.output
    ? await objectText(options.output, 'ripstop-flows/1', { ...answer, flows: answer.flows.slice(0, rows) })
    : showFlows(answer, { by: options.by, rows });
  await new OutputStream(process.stdout).write(text);
}

/**
 * The flows that the filter accepts, in order. Without a filter the agent sends only the rows to show.
 * @param wanted filter, undefined to accept all
 * @param rows maximum number, 0 for all
 * @throws RipstopError
 */
export async function askFlows(
  { socket, sort }: Pick<FlowsOptions, 'socket' | 'sort'>,
  wanted: ((flow: FiveTuple) => boolean) | undefined,
  rows: number,
): Promise<FlowsAnswer> {
  const limit = wanted ? 0 : rows;
  const answer = await getJson(socket, '/flows', { query: `?sort=${sort}&limit=${limit}` });
  if (!wanted) return answer;
  const flows = answer.flows.filter(wanted);
  return { ...answer, flows, total: flows.length };
}

/** `ripstop flows --log`: prints one JSON object per line until SIGINT, SIGTERM or the end of the data plane. @throws RipstopError */
export async function logFlows(filter: string, { socket }: FlowsOptions): Promise<void> {
  const wanted = await createFlowFilter(await resolvePods(socket, filter));
  const stop = stopOnSignal();
  const out = new OutputStream(process.stdout);
  const lines = await openFlowLog(socket, stop.signal);
  process.stderr.write('ripstop flows: logging\n');
  for await (const line of lines) if (!wanted || wanted(readFiveTuple(line))) await out.write(`${line}\n`);
  if (!stop.signal.aborted) process.stderr.write('ripstop flows: the data plane has ended\n');
}
