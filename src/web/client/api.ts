import {
  CAPTURE_PATH,
  type CaptureRequest,
  type CaptureView,
  DOWNLOAD_PATH,
  type ErrorBody,
  VIEW_PATH,
  type View,
} from '../../api/web/messages.ts';

/** A request that the server refused. */
export class RequestError extends Error {
  readonly status: number;
  readonly hint: string | undefined;

  constructor(status: number, { error, hint }: ErrorBody) {
    super(error);
    this.status = status;
    this.hint = hint;
  }
}

const KEPT = 'ripstop-token';

/** The token: the part after `#` of the link, otherwise the one that this tab has stored. */
export function takeToken(): string {
  const given = location.hash.slice(1);
  if (given !== '') {
    sessionStorage.setItem(KEPT, given);
    // Keeps the token out of the history and of a copied address.
    history.replaceState(null, '', location.pathname);
  }
  return sessionStorage.getItem(KEPT) ?? '';
}

export function keepToken(token: string): void {
  sessionStorage.setItem(KEPT, token);
}

/** Client of the web UI's server. Every call throws RequestError, or TypeError while it cannot be reached. */
export class ApiClient {
  readonly #token: string;

  constructor(token: string) {
    this.#token = token;
  }

  get hasToken(): boolean {
    return this.#token !== '';
  }

  /** @param since end of the last known sample */
  view(since: number): Promise<View> {
    return this.#json('GET', `${VIEW_PATH}?since=${since}`);
  }

  capture(id: number, after: number): Promise<CaptureView | null> {
    return this.#json('GET', `${CAPTURE_PATH}?id=${id}&after=${after}`);
  }

  startCapture(request: CaptureRequest): Promise<CaptureView> {
    return this.#json('POST', CAPTURE_PATH, request);
  }

  stopCapture(): Promise<unknown> {
    return this.#json('DELETE', CAPTURE_PATH);
  }

  async captureFile(): Promise<Blob> {
    return (await this.#fetch('GET', DOWNLOAD_PATH)).blob();
  }

  async #json<T>(method: string, path: string, body?: object): Promise<T> {
    return (await this.#fetch(method, path, body)).json() as Promise<T>;
  }

  async #fetch(method: string, path: string, body?: object): Promise<Response> {
    const response = await fetch(path, {
      method,
      headers: { authorization: `Bearer ${this.#token}`, 'content-type': 'application/json' },
      ...(body ? { body: JSON.stringify(body) } : {}),
    });
    if (response.ok) return response;
    throw new RequestError(
      response.status,
      await response.json().catch(() => ({ error: response.statusText })),
    );
  }
}
