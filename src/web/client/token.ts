const KEPT = 'ripstop-token';
/** In front of the token in the link that `ripstop ui` prints. Every other fragment is a place on the page. */
const PREFIX = '#token=';

/** The token of a link, or the text itself: what a person pastes. */
export function tokenIn(text: string): string {
  const at = text.indexOf(PREFIX);
  if (at < 0) return text.trim();
  const written = text.slice(at + PREFIX.length).trim();
  try {
    return decodeURIComponent(written);
  } catch {
    // Not the encoding of a link: the server refuses it.
    return written;
  }
}

/** Takes the token of a link out of the address, so that neither the history nor a copied address has it. */
export function takeLinkedToken(): string | undefined {
  if (!location.hash.startsWith(PREFIX)) return undefined;
  const token = tokenIn(location.hash);
  history.replaceState(null, '', location.pathname);
  return token;
}

/** The token that the server accepted last in this tab, otherwise empty. */
export function keptToken(): string {
  return sessionStorage.getItem(KEPT) ?? '';
}

/** Keeps a token that the server accepted. */
export function keepToken(token: string): void {
  sessionStorage.setItem(KEPT, token);
}
