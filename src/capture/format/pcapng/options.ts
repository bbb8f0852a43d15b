import { OPT_ENDOFOPT, padded } from './blocks.ts';

/** One option: its code, and its value as it stands in the block. */
export interface Option {
  readonly code: number;
  readonly value: DataView;
}

const decoder = new TextDecoder();

/**
 * The options of a block, from `offset` to `end` of its view. Returns undefined when one of them reaches beyond
 * the end: the block is then broken.
 */
export function readOptions(
  block: DataView,
  offset: number,
  end: number,
  little: boolean,
): Option[] | undefined {
  const options: Option[] = [];
  let at = offset;
  while (at < end) {
    if (at + 4 > end) return undefined;
    const code = block.getUint16(at, little);
    const length = block.getUint16(at + 2, little);
    at += 4;
    if (code === OPT_ENDOFOPT) break;
    if (at + padded(length) > end) return undefined;
    options.push({ code, value: new DataView(block.buffer, block.byteOffset + at, length) });
    at += padded(length);
  }
  return options;
}

/** The first option of that code whose value has at least `bytes` bytes. */
export function findOption(options: readonly Option[], code: number, bytes = 0): DataView | undefined {
  return options.find(option => option.code === code && option.value.byteLength >= bytes)?.value;
}

/** A text option; bytes that are no UTF-8 become U+FFFD. Some writers end the text with a NUL. */
export function readText(value: DataView): string {
  return decoder.decode(value).replace(/\0+$/, '');
}
