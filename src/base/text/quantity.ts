/* Quantities for people: at most three significant digits, one prefix and one unit. The CLI and the web UI share them. */

const PREFIXES = ['', 'k', 'M', 'G', 'T', 'P'];

/** `value` as digits and a prefix whose steps are 1000 or 1024: 1234 → `['1.23', 'k']`. */
function scale(value: number, step: number, prefixes = PREFIXES): readonly [digits: string, prefix: string] {
  let rest = value;
  let at = 0;
  // From 999.5 on, three digits would round to 1000.
  for (; rest >= 999.5 && at < prefixes.length - 1; at++) rest /= step;
  const isWhole = at === 0 && Number.isInteger(rest);
  const decimals = isWhole || rest >= 99.95 ? 0 : rest >= 9.995 ? 1 : 2;
  return [rest.toFixed(decimals), prefixes[at] ?? ''];
}

/** At most five characters without a unit: `872`, `1.23k`, `12.4G`. */
export function formatCompact(value: number, step: 1000 | 1024 = 1000): string {
  return scale(value, step).join('');
}

/** Bytes with a binary prefix (IEC 80000-13): `300 B`, `1.50 KiB`. */
export function formatBytes(bytes: number): string {
  return scale(bytes, 1024, ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB']).join(' ');
}

/** `1.24 Gbit/s` */
export function formatBitRate(bitsPerSecond: number): string {
  const [digits, prefix] = scale(bitsPerSecond, 1000);
  return `${digits} ${prefix}bit/s`;
}

/** `0.50/s`, `12/s`, `3.10k/s` */
export function formatRate(perSecond: number): string {
  return `${formatCompact(perSecond)}/s`;
}

/** A share within 0..1 as `0 %`, `0.3 %`, `12 %`; a share between 0 and 1 is never shown as 0 % or 100 %. */
export function formatShare(share: number): string {
  const percent = share * 100;
  return `${percent >= 10 ? Math.floor(percent) : Number(percent.toPrecision(2))} %`;
}

/** A latency with its unit, in at most six characters: `12.3us`, `0.43us`, `1.25ms`, `-2.00s`. */
export function formatLatency(ms: number): string {
  return ms < 0 ? `-${formatLatency(-ms)}` : scale(ms * 1000, 1000, ['us', 'ms', 's']).join('');
}

/** A time span as its two largest units: `1d 1h`, `1m 1s`, `0s`. */
export function formatDuration(ms: number): string {
  const parts: string[] = [];
  let left = Math.max(0, Math.round(ms / 1000));
  for (const [unit, seconds] of [
    ['d', 86400],
    ['h', 3600],
    ['m', 60],
    ['s', 1],
  ] as const) {
    const count = Math.floor(left / seconds);
    left -= count * seconds;
    if (count > 0 && parts.length < 2) parts.push(`${count}${unit}`);
  }
  return parts.join(' ') || '0s';
}
