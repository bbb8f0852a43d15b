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
  /** When it was received, of `Date.now()`. */
  readonly at: number;
  /** Why the last request failed. */
  readonly trouble: string | undefined;
  /** The tokens that the server accepted and refused last; `refused` is undefined after one was accepted. */
  readonly accepted: string | undefined;
  readonly refused: string | undefined;
}

const START: Watch = {
  ...{ live: undefined, at: 0, trouble: undefined },
  ...{ accepted: undefined, refused: undefined },
};

/** Requests the view every second, unless `paused`. */
export function useView(api: ApiClient, paused: boolean): Watch {
  const [watch, setWatch] = useState(START);
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
        setWatch({ ...START, live: live.current, at: Date.now(), accepted: api.token });
      } catch (error) {
        if (!isCurrent()) return;
        if (!(error instanceof RequestError)) throw error;
        const isRefused = error.status === 401;
        setWatch(former => ({
          ...former,
          trouble: error.message,
          refused: isRefused ? api.token : former.refused,
        }));
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
