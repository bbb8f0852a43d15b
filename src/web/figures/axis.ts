/** `14:03:07`, local time. */
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
