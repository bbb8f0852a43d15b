import { printableValue } from '../../../base/text/printable.ts';
import { formatCompact } from '../../../base/text/quantity.ts';
import { createFlowFilter } from '../../../capture/flows/flow-filter.ts';
import { OutputStream } from '../../../capture/sink/output-stream.ts';
import { type CostOwner, type Costs, costsOf } from '../../../diagnose/cost.ts';
import { rowText } from '../../json/print.ts';
import type { OutputOptions } from '../../options.ts';
import { resolvePods } from '../../pods.ts';
import { stopOnSignal } from '../../terminal/stop.ts';
import { formatTable } from '../../terminal/table.ts';
import { askFlows } from '../packets/flows-run.ts';
import { measureRuntime } from './runtime-run.ts';

export interface CostFlags extends OutputOptions {
  readonly socket: string;
  readonly cost?: CostOwner;
  /** Seconds. */
  readonly delay: number;
  readonly iterations?: number;
}

/** Rows of a printed table. */
const ROWS = 20;
/** Longest interval that the agent times at once, seconds. */
const DELAY_MAX = 60;

/** `ripstop top --cost`: one table or object per interval, until Ctrl-C or the last one. @throws RipstopError */
export async function watchCosts(filter: string, flags: CostFlags): Promise<void> {
  const { socket, cost = 'flow', output } = flags;
  const seconds = Math.min(flags.delay, DELAY_MAX);
  const iterations = flags.iterations ?? (process.stdout.isTTY ? Number.POSITIVE_INFINITY : 1);
  const wanted = await createFlowFilter(await resolvePods(socket, filter));
  const stop = stopOnSignal();
  const out = new OutputStream(process.stdout);
  // All flows share the time, whatever the filter shows.
  const ask = async () => (await askFlows({ socket, sort: 'packets' }, undefined, 0)).flows;
  let before = await ask();
  for (let shown = 0; shown < iterations && !stop.signal.aborted; shown++) {
    const measured = await Promise.race([measureRuntime(socket, seconds), untilAborted(stop.signal)]);
    if (!measured) return;
    const after = await ask();
    const costs = costsOf(before, after, measured, cost, wanted);
    before = after;
    await out.write(
      output
        ? await rowText(output, 'ripstop-cost/1', costs)
        : `${shown > 0 ? '\n' : ''}${formatCosts(printableValue(costs))}`,
    );
  }
}

function untilAborted(signal: AbortSignal): Promise<undefined> {
  return new Promise(resolve => signal.addEventListener('abort', () => resolve(undefined), { once: true }));
}

export function formatCosts({ seconds, rows }: Costs): string {
  if (rows.length === 0) return 'no flow\n';
  const whole = seconds * 1e9;
  return formatTable(
    ['   CPU', 'NS/PACKET', 'PACKETS', 'BYTES', '  WHAT'],
    rows
      .slice(0, ROWS)
      .map(({ what, direction, packets, bytes, nanoseconds }) => [
        `${((nanoseconds * 100) / whole).toFixed(1)} %`.padStart(6),
        formatCompact(nanoseconds / packets).padStart(9),
        formatCompact(packets).padStart(7),
        formatCompact(bytes, 1024).padStart(5),
        `${direction === 'egress' ? '>' : '<'} ${what}`,
      ]),
  );
}
