import { errnoName } from '../../base/errors.ts';
import { type CaptureContext, encapsulationOf, peerName } from '../live/context.ts';
import type { CaptureRecord } from '../live/record.ts';
import type { PacketDecoder } from './packet-decoder.ts';
import { describePacket } from './text.ts';

/** A dropped frame for a person or a program. */
export interface DropRow {
  /** ISO time, UTC, milliseconds. */
  readonly time: string;
  readonly reason: string;
  readonly direction: 'egress' | 'ingress';
  /** The inner frame. */
  readonly packet: string;
  readonly peer: string | null;
  /** Underlay source of a datagram, null on egress. */
  readonly from: string | null;
  readonly errno: string | null;
  readonly meaning: string;
  readonly remedy: string;
}

/** The row of a record of the point `drop`. */
export function dropRow(record: CaptureRecord, context: CaptureContext, decoder: PacketDecoder): DropRow {
  const verdict = context.verdicts[record.verdict];
  const frame = decoder.inner(record);
  const link = encapsulationOf(context).inner;
  return {
    time: new Date(Number(record.time / 1_000_000n)).toISOString(),
    reason: verdict?.name ?? `verdict ${record.verdict}`,
    direction: record.direction,
    packet: describePacket(frame.bytes, link, { length: frame.length }),
    peer: peerName(context, record.peer) ?? null,
    from: decoder.source(record) ?? null,
    errno: record.error > 0 ? errnoName(record.error) : null,
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
    const { time, reason, direction, packet, errno } = note;
    const where = note.peer ?? note.from;
    const context = [errno, where && `${direction === 'egress' ? 'to' : 'from'} ${where}`].filter(Boolean);
    const about = context.length > 0 ? `  (${context.join(', ')})` : '';
    lines.push(`${time.slice(11, 23)} ${reason.padEnd(16)} ${direction.padEnd(7)} ${packet}${about}`);
    if (!this.#explained.has(reason)) {
      this.#explained.add(reason);
      lines.push(`  ${note.meaning}`, `  what to do: ${note.remedy}`);
    }
    return lines;
  }

  /** Lines for the counts that are not printed yet. */
  rest(): string[] {
    return [...this.#second].flatMap(([reason, now]) => (now.more > 0 ? [moreLine(reason, now)] : []));
  }
}

function moreLine(reason: string, { second, more }: { second: string; more: number }): string {
  return `${second.slice(11)}     ${reason.padEnd(16)} ${more} more in this second`;
}
