import { getJson } from '../../../api/client.ts';
import { printableValue } from '../../../base/text/printable.ts';
import type { Audit, AuditDirection } from '../../../diagnose/audit/balance.ts';
import { type Output, objectText } from '../../json/print.ts';
import { countRow, showStack } from './tables.ts';

/** Time for the answer beyond the window, ms. */
const ANSWER_MS = 10_000;

/** `ripstop drops --audit`: prints what entered the data plane, what became of it, and what is not explained. */
export async function auditDrops(
  socket: string,
  seconds: number,
  output: Output | undefined,
  from: string | undefined,
): Promise<void> {
  const answer =
    from === undefined
      ? await getJson(socket, '/audit', {
          query: `?seconds=${seconds}`,
          timeoutMs: seconds * 1000 + ANSWER_MS,
        })
      : (await import('../report/report-file.ts')).answerFrom(from, '/audit', output);
  process.stdout.write(
    output ? await objectText(output, 'ripstop-audit/1', answer) : showAudit(printableValue(answer)),
  );
}

function showAudit({ seconds, directions, stack }: Audit): string {
  const parts = directions.map(direction => showDirection(direction, seconds));
  if (stack.length > 0) parts.push(showStack(stack, `in these ${seconds} s`).trimEnd());
  return `${parts.join('\n\n')}\n`;
}

function showDirection(direction: AuditDirection, seconds: number): string {
  const { device, countedAt, queued } = direction;
  return [
    `${device} ${direction.direction}, ${seconds} s, entered as counted by the kernel at ${countedAt}:`,
    ...(direction.direction === 'egress' ? egressRows(direction) : ingressRows(direction)),
    ...(queued === 0 ? [] : [countRow('waiting', queued === null ? '?' : -queued, waitingNote(queued))]),
    residueRow(direction),
  ].join('\n');
}

function egressRows({ entered, outcomes }: AuditDirection): string[] {
  return [
    countRow('entered', entered.frames, `frames, ${entered.segments} segments`),
    ...outcomes.map(({ verdict, frames }) => countRow(verdict, -frames)),
  ];
}

/** In datagrams, but for what the kernel drops: packets, which may hold several of them. */
function ingressRows({ entered, outcomes, read }: AuditDirection): string[] {
  const isCoalesced = entered.frames !== entered.segments;
  const packets = `packets; ${read} of ${entered.frames} were read`;
  return [
    countRow(
      'entered',
      entered.segments,
      isCoalesced ? `datagrams in ${entered.frames} packets` : 'datagrams',
    ),
    ...outcomes.map(({ verdict, frames }) =>
      countRow(verdict, -frames, isCoalesced && verdict === 'socket-dropped' ? packets : ''),
    ),
  ];
}

function residueRow({ direction, entered, residue: { frames, segments } }: AuditDirection): string {
  if (direction === 'egress')
    return countRow('residue', frames, segments === null ? 'frames' : `frames, ${segments} segments`);
  const isCoalesced = entered.frames !== entered.segments;
  return segments !== null && isCoalesced
    ? countRow('residue', segments, `datagrams, ${frames} packets`)
    : countRow('residue', frames, isCoalesced ? 'packets' : 'datagrams');
}

function waitingNote(queued: number | null): string {
  return queued === null ? 'datagrams wait in the socket: in the residue' : 'in the queue of the device';
}
