/*
 * Counts of times by size, as HdrHistogram has them (Gil Tene): a power of two is divided into 128 equal parts, so that any
 * value is known to within 1/256 of it, from nanoseconds to days, in 21 KB.
 */

const PARTS_BITS = 7;
const PARTS = 1 << PARTS_BITS;
/** Largest value: the period of the times in packets. */
const VALUE_BITS = 48;
const VALUE_MAX = 2 ** VALUE_BITS - 1;
const CELLS = (VALUE_BITS - PARTS_BITS + 1) * PARTS;
const POWERS = Float64Array.from({ length: VALUE_BITS }, (_, bit) => 2 ** bit);

/** Largest relative error of a percentile. */
export const HISTOGRAM_ERROR = 1 / (2 * PARTS);

/** The cell of a whole number from 0 to 2^48 - 1. @hot */
export function cellOf(value: number): number {
  if (value < 128) return value;
  const bits = value < 2147483648 ? 31 - Math.clz32(value) : 47 - Math.clz32(Math.floor(value / 65536));
  const shift = bits - 7;
  return (shift << 7) + Math.floor(value / POWERS[shift]!);
}

/** Smallest value of a cell, and how many values share it. */
function cellRange(cell: number): { from: number; width: number } {
  const shift = Math.max(0, (cell >> PARTS_BITS) - 1);
  const width = 2 ** shift;
  return { from: (cell - (shift << PARTS_BITS)) * width, width };
}

/** A histogram as it travels between threads and nodes: cells that are not empty, each followed by its count. */
export interface HistogramCells {
  readonly cells: readonly number[];
  readonly min: number;
  readonly max: number;
  readonly sum: number;
}

export class Histogram {
  readonly #counts = new Uint32Array(CELLS);
  count = 0;
  min = Number.POSITIVE_INFINITY;
  max = 0;
  sum = 0;

  static from({ cells, min, max, sum }: HistogramCells): Histogram {
    const histogram = new Histogram();
    for (let at = 0; at + 1 < cells.length; at += 2) {
      const [cell = 0, count = 0] = cells.slice(at, at + 2);
      if (cell >= CELLS) continue;
      histogram.#counts[cell] = (histogram.#counts[cell] ?? 0) + count;
      histogram.count += count;
    }
    return Object.assign(histogram, { min: histogram.count > 0 ? min : Number.POSITIVE_INFINITY, max, sum });
  }

  /** Counts a value; a negative one counts as 0, one above 2^48 - 1 as that. */
  add(value: number): void {
    const whole = value <= 0 ? 0 : value > VALUE_MAX ? VALUE_MAX : Math.round(value);
    this.#counts[cellOf(whole)] = (this.#counts[cellOf(whole)] ?? 0) + 1;
    this.count++;
    this.sum += whole;
    if (whole < this.min) this.min = whole;
    if (whole > this.max) this.max = whole;
  }

  /** The value that `share` (0 to 1) of the values do not exceed: the middle of its cell. 0 when it is empty. */
  quantile(share: number): number {
    const rank = Math.max(1, Math.ceil(share * this.count));
    let passed = 0;
    for (let cell = 0; cell < CELLS; cell++) {
      passed += this.#counts[cell] ?? 0;
      if (passed < rank) continue;
      const { from, width } = cellRange(cell);
      return Math.min(this.max, Math.max(this.min, from + (width - 1) / 2));
    }
    return 0;
  }

  get mean(): number {
    return this.count === 0 ? 0 : this.sum / this.count;
  }

  get cells(): HistogramCells {
    const cells: number[] = [];
    for (const [cell, count] of this.#counts.entries()) if (count > 0) cells.push(cell, count);
    return { cells, min: this.count > 0 ? this.min : 0, max: this.max, sum: this.sum };
  }
}
