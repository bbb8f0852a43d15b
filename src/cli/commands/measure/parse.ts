import { InvalidArgumentError } from 'commander';

const UNITS: Readonly<Record<string, number>> = { '': 1, k: 1e3, m: 1e6, g: 1e9, t: 1e12 };

export type RateOption =
  | { readonly unit: 'packets' | 'bits'; readonly perSecond: number }
  | { readonly unit: 'percent'; readonly percent: number };

/** Reads `10mbit`, `2.5gbit`, `100kpps`, `500pps`, `50%` or `max`. */
export function rateOption(text: string): RateOption {
  if (text.toLowerCase() === 'max') return { unit: 'packets', perSecond: Number.POSITIVE_INFINITY };
  const [, digits, prefix = '', kind = ''] =
    /^(\d+(?:\.\d+)?) ?([kmgt]?)(pps|bit|bit\/s|%)$/i.exec(text) ?? [];
  const value = Number(digits) * (UNITS[prefix.toLowerCase()] ?? 1);
  const unit = kind.toLowerCase();
  if (unit === '%' && prefix === '' && value > 0 && value <= 100) return { unit: 'percent', percent: value };
  if (unit !== '%' && value > 0) return { unit: unit === 'pps' ? 'packets' : 'bits', perSecond: value };
  throw new InvalidArgumentError('Expected a rate, e.g. 10mbit, 2.5gbit, 100kpps, 50% or max.');
}

/** Bits per second of a link, as `1gbit`. */
export function linkOption(text: string): number {
  const rate = rateOption(text);
  if (rate.unit === 'bits') return rate.perSecond;
  throw new InvalidArgumentError('Expected the bit rate of a link, e.g. 1gbit.');
}

/** Milliseconds of `500ms`, `10s`, `5m` or a plain number of seconds. */
export function durationOption(text: string): number {
  const [, digits, unit = 's'] = /^(\d+(?:\.\d+)?)(ms|s|m|h)?$/i.exec(text) ?? [];
  const scale = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 }[unit.toLowerCase()] ?? 0;
  const value = Number(digits) * scale;
  if (value >= 1 && value <= 86_400_000) return value;
  throw new InvalidArgumentError('Expected a time from 1ms to 24h, e.g. 500ms, 10s or 5m.');
}

/** Packets of `1000`, `10k`, `5M`; powers of 1000. @param max largest number */
export function countOption(max: number): (text: string) => number {
  return text => {
    const [, digits, prefix = ''] = /^(\d{1,12})([kmg]?)$/i.exec(text) ?? [];
    const value = Number(digits) * (UNITS[prefix.toLowerCase()] ?? 1);
    if (value >= 1 && value <= max) return value;
    throw new InvalidArgumentError(`Expected a number from 1 to ${max}, e.g. 1000, 10k or 5M.`);
  };
}

/** A port, or a range `40000-40007`. */
export function portsOption(text: string): number[] {
  const [, from, to = from] = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text) ?? [];
  const first = Number(from);
  const last = Number(to);
  if (first >= 1 && last >= first && last <= 65_535)
    return Array.from({ length: last - first + 1 }, (_, at) => first + at);
  throw new InvalidArgumentError('Expected ports from 1 to 65535, e.g. 40000 or 40000-40007.');
}
