import { useEffect, useRef, useState } from 'preact/hooks';
import type { Sample, View } from '../../api/web/messages.ts';
import { type LinkRate, ratesBetween } from '../figures/rates.ts';
import { type ApiClient, RequestError } from './api.ts';

const POLL_MS = 1000;
/** Ten minutes of steps of two seconds, as the server keeps them. */
const SAMPLES = 300;

export interface Live {
  readonly view: View;
  readonly rates: ReadonlyMap<string, LinkRate>;
  readonly history: readonly Sample[];
}

export interface Watch {
  readonly live: Live | undefined;
  /** Why the last request failed. */
  readonly trouble: string | undefined;
  /** The token is missing or wrong. */
  readonly locked: boolean;
}

/** Requests the view every second, unless `paused`. */
export function useView(api: ApiClient, paused: boolean): Watch {
  const [watch, setWatch] = useState<Watch>({ live: undefined, trouble: undefined, locked: false });
  const live = useRef<Live>(undefined);
  usePolling(
    POLL_MS,
    paused,
    async isCurrent => {
      try {
        const former = live.current;
        const view = await api.view(former?.history.at(-1)?.at ?? 0);
        if (!isCurrent()) return;
        const history = [...(former?.history ?? []), ...view.history].slice(-SAMPLES);
        live.current = { view, history, rates: ratesBetween(former?.view, view) };
        setWatch({ live: live.current, trouble: undefined, locked: false });
      } catch (error) {
        if (!isCurrent()) return;
        const locked = error instanceof RequestError && error.status === 401;
        const trouble = error instanceof RequestError ? error.message : 'the node does not answer';
        setWatch({ live: live.current, trouble, locked });
      }
    },
    [api],
  );
  return watch;
}

/** Calls `poll` at once and then `ms` after the end of each call, unless `paused`. */
export function usePolling(
  ms: number,
  paused: boolean,
  poll: (isCurrent: () => boolean) => Promise<void>,
  inputs: readonly unknown[],
): void {
  const latest = useRef(poll);
  latest.current = poll;
  useEffect(() => {
    if (paused) return undefined;
    let current = true;
    let timer = 0;
    const next = async () => {
      await latest.current(() => current);
      if (current) timer = setTimeout(next, ms);
    };
    void next();
    return () => {
      current = false;
      clearTimeout(timer);
    };
  }, [paused, ...inputs]);
}
