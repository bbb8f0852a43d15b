/* Numbers for people: three digits that matter, one unit. */

function scaled(value: number, units: readonly string[], step: number): string {
  let at = 0;
  let rest = value;
  // 999.5 would be shown as 1000 of the smaller unit.
  while (rest >= step * 0.9995 && at < units.length - 1) {
    rest /= step;
    at++;
  }
  const digits = rest >= 100 || at === 0 ? 0 : rest >= 10 ? 1 : 2;
  return `${rest.toFixed(digits)} ${units[at]}`.trimEnd();
}

/** `1.24 Gbit/s` */
export const bitRate = (bitsPerSecond: number): string =>
  scaled(bitsPerSecond, ['bit/s', 'kbit/s', 'Mbit/s', 'Gbit/s', 'Tbit/s'], 1000);

/** `1.24 MB` */
export const byteCount = (bytes: number): string => scaled(bytes, ['B', 'kB', 'MB', 'GB', 'TB', 'PB'], 1000);

/** `12.4 k` */
export const count = (value: number): string => scaled(value, ['', 'k', 'M', 'G', 'T'], 1000);

/** `0.4/s`, `12/s`, `3.1 k/s` */
export const perSecond = (value: number): string =>
  value > 0 && value < 10 ? `${value.toFixed(1)}/s` : `${count(value)}/s`;

/** `0 %`, `0.3 %`, `12 %` of a share within 0..1. */
export function percent(share: number): string {
  const value = share * 100;
  return `${value > 0 && value < 10 ? value.toFixed(1) : value.toFixed(0)} %`;
}

/** `0.42 ms`, `13 ms` */
export const milliseconds = (ms: number): string => `${ms < 10 ? ms.toFixed(2) : ms.toFixed(0)} ms`;

/** `14:03:07` in the time of the reader. */
export function clock(at: number): string {
  return new Date(at).toLocaleTimeString('en-GB');
}

/** Three to five round steps from 0 to at least `max`. */
export function niceSteps(max: number): number[] {
  const raw = (max || 1) / 3;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = power * ([1, 2, 5].find(factor => factor * power >= raw * 0.9999) ?? 10);
  const count = Math.max(2, Math.ceil(max / step - 1e-9));
  return Array.from({ length: count + 1 }, (_, at) => at * step);
}
