import {
  CAPTURE_PATH,
  type CaptureRequest,
  type CaptureView,
  DOWNLOAD_PATH,
  type ErrorBody,
  RECORDING_PATH,
  VIEW_PATH,
  type View,
} from '../../api/web/messages.ts';

/** A request that the server refused or did not answer. */
export class RequestError extends Error {
  /** HTTP status; 0 without an answer. */
  readonly status: number;
  readonly hint: string | undefined;

  constructor(status: number, { error, hint }: ErrorBody) {
    super(error);
    this.status = status;
    this.hint = hint;
  }
}

const NO_ANSWER = 'the node does not answer';
/** Longest wait for an answer, ms: a node that is stopped accepts connections and never answers. */
const ANSWER_MS = 3000;
/** The same for a whole capture. */
const FILE_MS = 60_000;

/** Client of the web UI's server. Every call throws RequestError. */
export class ApiClient {
  readonly #token: string;

  constructor(token: string) {
    this.#token = token;
  }

  get token(): string {
    return this.#token;
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
    return (await this.#fetch('GET', DOWNLOAD_PATH, undefined, FILE_MS)).blob();
  }

  async recordingFile(name: string): Promise<Blob> {
    const path = `${RECORDING_PATH}?name=${encodeURIComponent(name)}`;
    return (await this.#fetch('GET', path, undefined, FILE_MS)).blob();
  }

  async #json<T>(method: string, path: string, body?: object): Promise<T> {
    const response = await this.#fetch(method, path, body);
    return response.json().catch(() => {
      throw new RequestError(0, { error: NO_ANSWER });
    }) as Promise<T>;
  }

  async #fetch(method: string, path: string, body?: object, waitMs = ANSWER_MS): Promise<Response> {
    const response = await fetch(path, {
      method,
      signal: AbortSignal.timeout(waitMs),
      headers: { authorization: `Bearer ${this.#token}`, 'content-type': 'application/json' },
      ...(body ? { body: JSON.stringify(body) } : {}),
    }).catch(() => {
      throw new RequestError(0, { error: NO_ANSWER });
    });
    if (response.ok) return response;
    throw new RequestError(
      response.status,
      await response.json().catch(() => ({ error: response.statusText })),
    );
  }
}
