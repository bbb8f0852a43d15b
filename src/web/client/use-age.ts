import { useEffect, useState } from 'preact/hooks';

const TICK_MS = 1000;

/** Milliseconds since `at`, counted on while the page is open. @param at of `Date.now()`, which also counts while the machine sleeps */
export function useAge(at: number): number {
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), TICK_MS);
    return () => clearInterval(timer);
  }, []);
  return Math.max(0, now - at);
}
