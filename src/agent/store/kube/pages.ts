import { Backoff } from '../../../base/backoff.ts';
import { isExpired } from './kube-error.ts';

/** Objects of one page of a list. */
export const PAGE = 500;
/** Attempts to read a list in pages, before it is read whole. */
const PAGED_ATTEMPTS = 2;

interface Page {
  readonly metadata?: { readonly continue?: string | undefined } | undefined;
}

export interface PageReader<P extends Page> {
  /** Query of the first page, besides its limit. */
  readonly first?: string;
  readonly signal: AbortSignal;
  /** Asks for one page. */
  ask(query: string): Promise<P>;
  /** The list begins, again after `expired`: pages that were taken before are void. */
  begin(): void;
  take(page: P): void;
  /** The server had forgotten the list before its last page was read (410). */
  expired(error: Error): void;
}

/**
 * Reads a list in pages. A list that expires between two pages is begun again after a pause; the second time it is read
 * without pages, as client-go does: each attempt costs the server as much as the whole list.
 */
export async function readPages<P extends Page>(reader: PageReader<P>): Promise<void> {
  const { signal, first = '' } = reader;
  const backoff = new Backoff(500, 5000);
  for (let attempt = 1; ; attempt++) {
    const limit = attempt <= PAGED_ATTEMPTS ? `limit=${PAGE}` : '';
    reader.begin();
    let token = '';
    try {
      do {
        const rest = token === '' ? first : `continue=${encodeURIComponent(token)}`;
        const page = await reader.ask([limit, rest].filter(part => part !== '').join('&'));
        reader.take(page);
        token = page.metadata?.continue ?? '';
      } while (token !== '' && !signal.aborted);
      return;
    } catch (error) {
      if (!isExpired(error) || token === '' || signal.aborted) throw error;
      reader.expired(error);
      await backoff.wait(signal);
    }
  }
}
