import { formatBitRate, formatCompact, formatLatency } from '../../base/text/quantity.ts';
import type { Figure } from './figures.ts';

/** A value with its unit, for a person. */
export function valueText(value: number, { unit }: Figure): string {
  switch (unit) {
    case 'bit/s':
      return formatBitRate(value);
    case 'us':
      return formatLatency(value / 1000);
    case '%':
      return `${value.toFixed(1)} %`;
    case 'packets/s':
      return `${formatCompact(value)}/s`;
    default:
      return formatCompact(value);
  }
}
