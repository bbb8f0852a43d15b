import type { CaptureInterface, Direction, Packet } from '../packet.ts';
import * as ng from './blocks.ts';
import { findOption, type Option, readOptions, readText } from './options.ts';

const NANOSECONDS = 1_000_000_000n;

/** The timestamp unit of an interface. */
export interface TimeUnit {
  /** Ticks per second. */
  readonly ticks: bigint;
  /** Seconds to add to every timestamp (if_tsoffset). */
  readonly offset: bigint;
}

/** Decodes an interface description block. Returns an error message if it is invalid. */
export function readInterface(
  block: DataView,
  little: boolean,
): { point: CaptureInterface; unit: TimeUnit } | string {
  const options = readOptions(block, 16, block.byteLength - 4, little);
  if (!options) return 'an option of the interface description reaches beyond it';
  const name = findOption(options, ng.IF_NAME);
  const description = findOption(options, ng.IF_DESCRIPTION);
  const filter = findOption(options, ng.IF_FILTER, 1);
  const isText = filter?.getUint8(0) === 0;
  const point: CaptureInterface = {
    link: block.getUint16(8, little),
    snapLength: block.getUint32(12, little),
    ...(name ? { name: readText(name) } : {}),
    ...(description ? { description: readText(description) } : {}),
    ...(filter && isText ? { filter: readText(filter).slice(1) } : {}),
  };
  const resolution = findOption(options, ng.IF_TSRESOL, 1)?.getUint8(0) ?? 6;
  const exponent = resolution & 0x7f;
  // Timestamps have 64 bits: a finer unit than 10^-19 or 2^-63 seconds overflows them.
  if (exponent > (resolution & 0x80 ? 63 : 19))
    return `time resolution 0x${resolution.toString(16)} is out of range`;
  const ticks = (resolution & 0x80 ? 2n : 10n) ** BigInt(exponent);
  const offset = findOption(options, ng.IF_TSOFFSET, 8)?.getBigInt64(0, little) ?? 0n;
  return { point, unit: { ticks, offset } };
}

/** Decodes one of the three packet blocks. Returns an error message if it is invalid. */
export function readPacket(
  type: number,
  block: DataView,
  little: boolean,
  point: { index: number; snapLength: number; unit: TimeUnit },
): Packet | string {
  const end = block.byteLength - 4;
  if (type === ng.SIMPLE_PACKET) {
    const length = block.getUint32(8, little);
    const captured = Math.min(length, point.snapLength || length);
    if (12 + captured > end) return `${captured} captured bytes do not fit the block`;
    return { interface: point.index, time: 0n, bytes: copy(block, 12, captured), length };
  }
  const captured = block.getUint32(20, little);
  const length = block.getUint32(24, little);
  if (captured > end - 28) return `${captured} captured bytes do not fit the block`;
  // Some writers omit the padding and the options of the last block.
  const optionsAt = Math.min(28 + ng.padded(captured), end);
  const options = readOptions(block, optionsAt, end, little);
  if (!options) return 'an option of the packet block reaches beyond it';
  const old = type === ng.OLD_PACKET ? block.getUint16(10, little) : 0xffff;
  // The obsolete block has a fixed field for the loss count; all ones: unknown.
  const dropped = old !== 0xffff ? BigInt(old) : count(options, ng.EPB_DROPCOUNT, little);
  const direction = readDirection(options, little);
  const comments = options
    .filter(option => option.code === ng.OPT_COMMENT)
    .map(option => readText(option.value));
  return {
    interface: point.index,
    time: readTime(block, 12, little, point.unit),
    bytes: copy(block, 28, captured),
    length: Math.max(length, captured),
    ...(direction ? { direction } : {}),
    ...(comments.length > 0 ? { comments } : {}),
    ...(dropped !== undefined ? { dropped } : {}),
  };
}

function readTime(view: DataView, offset: number, little: boolean, unit: TimeUnit): bigint {
  const ticks = (BigInt(view.getUint32(offset, little)) << 32n) | BigInt(view.getUint32(offset + 4, little));
  return (ticks * NANOSECONDS) / unit.ticks + unit.offset * NANOSECONDS;
}

function readDirection(options: readonly Option[], little: boolean): Direction | undefined {
  const flags = findOption(options, ng.EPB_FLAGS, 4);
  const bits = flags ? flags.getUint32(0, little) & ng.FLAGS_DIRECTION : 0;
  if (bits === ng.FLAGS_INBOUND) return 'in';
  return bits === ng.FLAGS_OUTBOUND ? 'out' : undefined;
}

function count(options: readonly Option[], code: number, little: boolean): bigint | undefined {
  return findOption(options, code, 8)?.getBigUint64(0, little);
}

function copy(block: DataView, offset: number, length: number): Uint8Array {
  return new Uint8Array(block.buffer, block.byteOffset + offset, length).slice();
}
