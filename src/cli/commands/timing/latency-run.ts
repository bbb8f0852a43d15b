import { getJson } from '../../../api/client.ts';
import { printableValue } from '../../../base/text/printable.ts';
import { formatLatency } from '../../../base/text/quantity.ts';
import type { Latency, LatencyStage } from '../../../diagnose/latency/budget.ts';
import { objectText } from '../../json/print.ts';
import type { OutputOptions } from '../../options.ts';
import { formatTable } from '../../terminal/table.ts';

export interface LatencyFlags extends OutputOptions {
  readonly socket: string;
  readonly count: number;
}

/** Longest time of an echo: two answers that do not come, and the pause. */
const ECHO_MS = 5000;

/** `ripstop latency`. @throws RipstopError */
export async function showLatency(peer: string, { socket, count, output }: LatencyFlags): Promise<void> {
  const query = `?peer=${encodeURIComponent(peer)}&count=${count}`;
  const answer = await getJson(socket, '/latency', { query, timeoutMs: (count + 1) * ECHO_MS });
  process.stdout.write(
    output ? await objectText(output, 'ripstop-latency/1', answer) : formatBudget(printableValue(answer)),
  );
  if (answer.answered === 0) process.exitCode = 1;
}

/** What happens in a stage, and what to look at where it takes most of the time. */
const STAGES: Readonly<Record<LatencyStage, readonly [what: string, remedy: string]>> = {
  'device-queue': [
    'from the sender to the egress worker',
    'the worker is busy or does not get a processor: `ripstop runtime`, `ripstop doctor`',
  ],
  batch: ['waits for its batch to be decided', 'batches are large: `ripstop runtime`, more workers'],
  send: ['until it leaves the underlay device', 'the queue of the underlay device: `tc -s qdisc`'],
  underlay: ['the network, there and back', 'the network between the nodes: `ping` from node to node'],
  peer: ['the other node, both directions', 'the other node: `ripstop latency` and `ripstop runtime` there'],
  receive: [
    'from the underlay to the ingress worker',
    'the worker is busy or does not get a processor: `ripstop runtime`, `ripstop doctor`',
  ],
  'ingress-batch': [
    'waits for its batch to be decided',
    'batches are large: `ripstop runtime`, more workers',
  ],
  write: ['until the sender has it', 'the write to the device, and the stack behind it: `ripstop runtime`'],
};

export function formatBudget(latency: Latency): string {
  const { peer, address, tunnelAddress, device, sent, answered, roundTrip, stages, guilty, unplaced } =
    latency;
  const head = `${peer} (${address}), ${tunnelAddress} through ${device}: ${answered} of ${sent} echoes answered\n`;
  if (!roundTrip) return `${head}no answer: \`ripstop doctor\` looks for the reason\n`;
  const trip = `round trip: median ${formatLatency(roundTrip.p50Ms)}, maximum ${formatLatency(roundTrip.maxMs)}\n`;
  const missing =
    unplaced > 0 ? `${unplaced} of them were not seen at every place and are left out below\n` : '';
  if (guilty === null) return `${head}${trip}${missing}`;
  const table = formatTable(
    ['STAGE', 'MEDIAN', 'MAXIMUM', ' SHARE', 'WHAT'],
    stages.map(({ stage, p50Ms, maxMs, share }) => [
      stage,
      formatLatency(p50Ms).padStart(6),
      formatLatency(maxMs).padStart(7),
      percent(share).padStart(6),
      STAGES[stage][0],
    ]),
  );
  const share = stages.find(({ stage }) => stage === guilty)?.share ?? 0;
  return `${head}${trip}${missing}${table}most of the time: ${guilty} (${percent(share)}): ${STAGES[guilty][1]}\n`;
}

const percent = (share: number) => `${(share * 100).toFixed(1)} %`;
