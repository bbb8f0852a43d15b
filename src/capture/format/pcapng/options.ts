import { OPT_ENDOFOPT, padded } from './blocks.ts';

/** One option with its value, a view of the block. */
export interface Option {
  readonly code: number;
  readonly value: DataView;
}

const decoder = new TextDecoder();

/**
 * Reads the options of a block from `offset` to `end`. Returns undefined if an option reaches beyond the end.
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

/** Decodes a text option; invalid UTF-8 becomes U+FFFD. Some writers end the text with a NUL. */
export function readText(value: DataView): string {
  return decoder.decode(value).replace(/\0+$/, '');
}
