import { VERDICTS } from '../../dataplane/descriptor/verdicts.ts';
import type { Slice } from '../decode/segments.ts';
import { type CaptureInterface, LINK_ETHERNET, LINK_RAW, type Packet } from '../format/packet.ts';
import type { ReplayPlace, ReplayResult, ReplaySkip } from './replay.ts';

/** Widths of the columns; a negative one is left-aligned. */
const WIDTHS = [7, 12, -7, -16, -14, 3];

/** Heading of the table of `resultLine`. */
export const TABLE_HEADING = line('packet', 'seconds', 'dir', 'verdict', 'peer', 'out', 'what');

function line(...cells: readonly string[]): string {
  return cells
    .map((cell, at) => {
      const width = WIDTHS[at] ?? 0;
      return width < 0 ? cell.padEnd(-width) : cell.padStart(width);
    })
    .join('  ');
}

/** One line of the table of results; `start` is the time of the first packet. */
export function resultLine(result: ReplayResult, start: bigint): string {
  return line(
    placeOf(result),
    (Number(result.time - start) / 1e9).toFixed(6),
    result.direction,
    nameOf(result.verdict),
    result.peer ?? '-',
    String(result.outputs.length),
    result.text,
  );
}

/** `12`, or `12.3` for a datagram of several that were merged. */
export function placeOf({ number, part }: ReplayPlace): string {
  return part === undefined ? String(number) : `${number}.${part}`;
}

/**
 * What became of the packets of a capture. All counts but `packets` are of what a forwarder is given: a packet, or each
 * datagram of a packet that holds several. Judged and not judged together are all of them.
 */
export class ReplayTally {
  readonly verdicts = new Map<string, number>();
  readonly notJudged = new Map<string, number>();
  /** Packets of the file. */
  packets = 0;
  /** Packets that hold several datagrams, and the datagrams in them. */
  merged = 0;
  parts = 0;
  #last = 0;

  add(result: ReplayResult | ReplaySkip): void {
    if (result.number !== this.#last) {
      this.packets++;
      if (result.part !== undefined) this.merged++;
    }
    this.#last = result.number;
    if (result.part !== undefined) this.parts++;
    if ('skipped' in result) bump(this.notJudged, result.skipped);
    else bump(this.verdicts, nameOf(result.verdict));
  }

  /** What the forwarder was given and what it was not: packets, merged ones counted by their datagrams. */
  get inputs(): number {
    return this.packets - this.merged + this.parts;
  }

  lines(): string[] {
    const several = `, ${this.merged} of them with ${this.parts} merged datagrams: ${this.inputs} in all`;
    return [
      `${plural(this.packets, 'packet')}${this.merged > 0 ? several : ''}`,
      ...sorted(this.verdicts).map(([name, count]) => `  ${count} ${name}${reason(name)}`),
      ...sorted(this.notJudged).map(([why, count]) => `  ${count} not judged: ${why}`),
    ];
  }
}

/** The most frequent first. */
export function sorted(counts: ReadonlyMap<string, number>): [string, number][] {
  return [...counts].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1));
}

/** A packet whose result differs between two configurations. */
export interface Difference {
  readonly before: ReplayResult | ReplaySkip;
  readonly after: ReplayResult | ReplaySkip;
}

/** True when two runs differ in the packet: another verdict, another peer, or other output. */
export function differs(before: ReplayResult | ReplaySkip, after: ReplayResult | ReplaySkip): boolean {
  if ('skipped' in before || 'skipped' in after)
    return !('skipped' in before && 'skipped' in after && before.skipped === after.skipped);
  if (before.verdict !== after.verdict || before.peer !== after.peer) return true;
  if (before.outputs.length !== after.outputs.length) return true;
  return before.outputs.some(({ bytes }, i) => {
    const other = after.outputs[i];
    return !other || Buffer.compare(bytes, other.bytes) !== 0;
  });
}

/** One line per kind of change, with the numbers of its first packets. */
export function changeLines(differences: readonly Difference[]): string[] {
  const groups = new Map<string, string[]>();
  for (const { before, after } of differences) {
    const what = change(before, after);
    const numbers = groups.get(what) ?? [];
    groups.set(what, numbers);
    numbers.push(placeOf(before));
  }
  // The sort is stable: equal counts stay in the order of their first packets.
  const bySize = [...groups].sort((a, b) => b[1].length - a[1].length);
  return bySize.map(([what, numbers]) => {
    const shown = numbers.slice(0, 10).join(', ') + (numbers.length > 10 ? ', …' : '');
    return `${plural(numbers.length, 'packet')} ${what} (${shown})`;
  });
}

function change(before: ReplayResult | ReplaySkip, after: ReplayResult | ReplaySkip): string {
  if ('skipped' in after) return `would no longer be judged: ${after.skipped}`;
  const name = nameOf(after.verdict);
  const lost = VERDICTS[after.verdict]?.drop;
  if ('skipped' in before) return `would now be ${name}`;
  const was = nameOf(before.verdict);
  if (before.verdict !== after.verdict) {
    if (lost) return `would now be dropped, ${was} before: ${name}${reason(name)}`;
    return `would now be ${name}, ${was} before`;
  }
  if (before.peer !== after.peer)
    return `would go to ${after.peer ?? 'no peer'} instead of ${before.peer ?? 'no peer'}`;
  return `would be ${name} as before, with other bytes on the wire`;
}

/** Interfaces of a capture file of results. */
export function resultInterfaces(mode: 'vxlan' | 'udp'): CaptureInterface[] {
  const link = mode === 'vxlan' ? LINK_ETHERNET : LINK_RAW;
  return ['egress-outer', 'ingress-inner', 'drop'].map(name => ({ name, link, snapLength: 0 }));
}

/** The packets of a result for a capture file: the outputs, or the input at `drop`. ICMP messages are left out. */
export function resultPackets(result: ReplayResult): Packet[] {
  const name = nameOf(result.verdict);
  const comments = [`packet ${placeOf(result)}: ${name}${reason(name)}`];
  const direction = result.direction === 'egress' ? ('out' as const) : ('in' as const);
  const packet = (number: number, { bytes, length }: Slice): Packet => ({
    interface: number,
    time: result.time,
    bytes,
    length,
    direction,
    comments,
  });
  if (VERDICTS[result.verdict]?.drop) return [packet(2, { bytes: result.frame, length: result.length })];
  return result.outputs.flatMap(output =>
    output.kind === 'icmp' ? [] : [packet(output.kind === 'datagram' ? 0 : 1, output)],
  );
}

function nameOf(number: number): string {
  return VERDICTS[number]?.name ?? `verdict ${number}`;
}

/** ` (meaning)` for a verdict that drops the packet, otherwise empty. */
function reason(name: string): string {
  const verdict = VERDICTS.find(known => known.name === name);
  return verdict?.drop ? ` (${verdict.meaning})` : '';
}

function bump(counts: Map<string, number>, key: string): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}

function plural(count: number, word: string): string {
  return `${count} ${word}${count === 1 ? '' : 's'}`;
}
