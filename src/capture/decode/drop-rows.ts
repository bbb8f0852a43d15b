import { errnoName } from '../../base/errors.ts';
import { described, nullable, number, oneOf, record, string, type ValueOf } from '../../base/schema.ts';
import { type CaptureContext, encapsulationOf, peerName } from '../live/context.ts';
import type { CaptureRecord } from '../live/record.ts';
import type { PacketDecoder } from './packet-decoder.ts';
import { podPairFields, podPairText } from './pod-pair.ts';
import { describePacket } from './text.ts';

const dropFields = {
  time: described('when it was dropped, milliseconds', string),
  reason: described('name of the verdict', string),
  direction: described('egress: to the peer; ingress: from it', oneOf(['egress', 'ingress'])),
  packet: described('the inner frame in the notation of tcpdump', string),
  ...podPairFields,
  peer: described('name of the peer; null without one', nullable(string)),
  from: described('underlay source of a datagram; null on egress', nullable(string)),
  errno: described('errno of the system call that failed; null without one', nullable(string)),
  meaning: described('what the verdict means', string),
  remedy: described('what to do', string),
};

/** A dropped frame for a person or a program. */
export const dropRowField = record(dropFields);

/** A dropped frame that the flight recorder has. */
export const lastDropField = record({
  device: described('device of the overlay', string),
  ...dropFields,
  skipped: described(
    'frames lost for the same reason by the same worker since the recorded one before, of which nothing is kept',
    number,
  ),
});

export type DropRow = ValueOf<typeof dropRowField>;
export type LastDrop = ValueOf<typeof lastDropField>;

/** The row of a record of the point `drop`. */
export function dropRow(captured: CaptureRecord, context: CaptureContext, decoder: PacketDecoder): DropRow {
  const verdict = context.verdicts[captured.verdict];
  const frame = decoder.inner(captured);
  const link = encapsulationOf(context).inner;
  return {
    time: new Date(Number(captured.time / 1_000_000n)).toISOString(),
    reason: verdict?.name ?? `verdict ${captured.verdict}`,
    direction: captured.direction,
    packet: describePacket(frame.bytes, link, { length: frame.length }),
    ...decoder.pods(captured),
    peer: captured.remote ? peerName(captured.remote) : null,
    from: decoder.source(captured) ?? null,
    errno: captured.error > 0 ? errnoName(captured.error) : null,
    meaning: verdict?.meaning ?? '',
    remedy: verdict?.remedy ?? '',
  };
}

/** Maximum number of lines per reason and second of the capture; further drops are counted. */
const LINES_PER_SECOND = 10;

/**
 * Formats drops as lines. Each reason is explained once. Many drops of one reason become a count, so that rare reasons
 * stay visible.
 */
export class DropLines {
  readonly #explained = new Set<string>();
  readonly #second = new Map<string, { second: string; shown: number; more: number }>();

  /** The lines for one drop, none if its reason has reached the limit. */
  lines(note: DropRow): string[] {
    const second = note.time.slice(0, 19);
    const before = this.#second.get(note.reason);
    const now = before?.second === second ? before : { second, shown: 0, more: 0 };
    this.#second.set(note.reason, now);
    if (now.shown === LINES_PER_SECOND) {
      now.more++;
      return [];
    }
    now.shown++;
    const lines = before && before !== now && before.more > 0 ? [moreLine(note.reason, before)] : [];
    lines.push(dropLine(note));
    if (!this.#explained.has(note.reason)) {
      this.#explained.add(note.reason);
      lines.push(`  ${note.meaning}`, `  what to do: ${note.remedy}`);
    }
    return lines;
  }

  /** Lines for the counts that are not printed yet. */
  rest(): string[] {
    return [...this.#second].flatMap(([reason, now]) => (now.more > 0 ? [moreLine(reason, now)] : []));
  }
}

/** The line of one drop. @param more further remarks */
export function dropLine(row: DropRow, more: readonly string[] = []): string {
  const { time, reason, direction, packet, errno, peer, from } = row;
  const where = peer ?? from;
  const side = where && `${direction === 'egress' ? 'to' : 'from'} ${where}`;
  const about = [errno, side, podPairText(row), ...more].filter(Boolean);
  const remarks = about.length > 0 ? `  (${about.join(', ')})` : '';
  return `${time.slice(11, 23)} ${reason.padEnd(16)} ${direction.padEnd(7)} ${packet}${remarks}`;
}

function moreLine(reason: string, { second, more }: { second: string; more: number }): string {
  return `${second.slice(11)}     ${reason.padEnd(16)} ${more} more in this second`;
}
