import { useEffect, useMemo, useState } from 'preact/hooks';
import { ApiClient } from './api.ts';
import { keepToken, keptToken, takeLinkedToken } from './token.ts';
import { useView, type Watch } from './use-polling.ts';

export interface Session extends Watch {
  readonly api: ApiClient;
  /** The token in use was refused. */
  readonly wrong: boolean;
  enter(token: string): void;
}

/**
 * The view with the token of the link, which may also come into an open page. A token that the server refuses never replaces
 * one that it accepted.
 */
export function useSession(paused: boolean): Session {
  const [token, setToken] = useState(() => takeLinkedToken() ?? keptToken());
  useEffect(() => {
    const follow = () => {
      const linked = takeLinkedToken();
      if (linked !== undefined) setToken(linked);
    };
    addEventListener('hashchange', follow);
    return () => removeEventListener('hashchange', follow);
  }, []);
  const api = useMemo(() => new ApiClient(token), [token]);
  const watch = useView(api, paused);
  const { refused, accepted } = watch;
  useEffect(() => {
    if (accepted === token && token !== '') keepToken(token);
    if (refused === token && keptToken() !== '' && keptToken() !== token) setToken(keptToken());
  }, [accepted, refused, token]);
  return { ...watch, api, wrong: refused === token && token !== '', enter: setToken };
}
