/** A controller that aborts on SIGINT, SIGTERM, or after `seconds`. A second signal ends the process at once. */
export function stopOnSignal(seconds?: number): AbortController {
  const stop = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort());
  if (seconds !== undefined) setTimeout(() => stop.abort(), seconds * 1000).unref();
  return stop;
}
