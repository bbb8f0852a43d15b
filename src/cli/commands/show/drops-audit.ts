import { getJson } from '../../../api/client.ts';
import type { Audit, AuditDirection } from '../../../diagnose/audit/balance.ts';
import { type Output, objectText } from '../../json/print.ts';

/** Time for the answer beyond the window, ms. */
const ANSWER_MS = 10_000;

/** `ripstop drops --audit`: prints what entered the data plane, what became of it, and what is not explained. */
export async function auditDrops(socket: string, seconds: number, output: Output | undefined): Promise<void> {
  const answer = await getJson(socket, '/audit', {
    query: `?seconds=${seconds}`,
    timeoutMs: seconds * 1000 + ANSWER_MS,
  });
  process.stdout.write(output ? await objectText(output, 'ripstop-audit/1', answer) : showAudit(answer));
}

function showAudit({ seconds, directions, stack }: Audit): string {
  const parts = directions.map(direction => showDirection(direction, seconds));
  if (stack.length > 0)
    parts.push(
      [
        'IP stack of this network namespace, all programs together (not part of the account):',
        ...stack.map(({ counter, change }) => row(counter, change)),
      ].join('\n'),
    );
  return `${parts.join('\n\n')}\n`;
}

function showDirection(direction: AuditDirection, seconds: number): string {
  const { device, countedAt, entered, outcomes, queued, residue } = direction;
  const isEgress = direction.direction === 'egress';
  const segments = (count: number | null) => (isEgress && count !== null ? `, ${count} segments` : '');
  const unit = isEgress ? 'frames' : 'datagrams';
  return [
    `${device} ${direction.direction}, ${seconds} s, entered as counted by the kernel at ${countedAt}:`,
    row('entered', entered.frames, unit + segments(entered.segments)),
    ...outcomes.map(({ verdict, frames }) => row(verdict, -frames)),
    ...(queued === 0 ? [] : [row('waiting', queued === null ? '?' : -queued, waitingNote(queued))]),
    row('residue', residue.frames, unit + segments(residue.segments)),
  ].join('\n');
}

function waitingNote(queued: number | null): string {
  return queued === null ? 'datagrams wait in the socket: in the residue' : 'in the queue of the device';
}

const NAME_WIDTH = 26;
const COUNT_WIDTH = 12;

function row(name: string, count: number | string, note = ''): string {
  return `  ${name.padEnd(NAME_WIDTH)}${String(count).padStart(COUNT_WIDTH)}  ${note}`.trimEnd();
}
