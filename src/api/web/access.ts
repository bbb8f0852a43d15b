import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { messageOf, RipstopError } from '../../base/errors.ts';

/** Address and access control of the web UI. */
export interface WebOptions {
  /** IP address. */
  readonly address: string;
  readonly port: number;
  /** See `webToken`. */
  readonly token: string;
  /** Names besides `localhost` under which browsers may open it. */
  readonly hosts: readonly string[];
}

const TOKEN_MIN = 16;

/**
 * The token that every request for data needs, also on loopback: every user of the machine and every pod in its
 * network namespace can connect to loopback, and a capture shows the traffic of all pods.
 * @param tokenFile file that holds it; empty: a new one at each start, allowed only on a loopback address
 * @throws RipstopError ECONFIG
 */
export function webToken(address: string, tokenFile: string): string {
  if (tokenFile === '') {
    if (isLoopback(address)) return randomBytes(24).toString('base64url');
    throw new RipstopError(
      'ECONFIG',
      `the web UI needs a token file to listen on ${address}`,
      'give --web-token-file, or listen on 127.0.0.1',
    );
  }
  let text: string;
  try {
    text = readFileSync(tokenFile, 'utf8').trim();
  } catch (error) {
    throw new RipstopError('ECONFIG', `token of the web UI: ${messageOf(error)}`);
  }
  if (!/^[\x21-\x7e]+$/.test(text) || text.length < TOKEN_MIN)
    throw new RipstopError(
      'ECONFIG',
      `${tokenFile}: a token is at least ${TOKEN_MIN} printable characters without spaces`,
      `make one: head -c 24 /dev/urandom | base64 > ${tokenFile}`,
    );
  return text;
}

export function isLoopback(address: string): boolean {
  return /^127\./.test(address) || address === '::1';
}

/** True if the header `Authorization` has the token. Takes the same time for every wrong token. */
export function isAuthorized(header: string | undefined, token: string): boolean {
  const given = /^Bearer ([\x21-\x7e]+)$/i.exec(header ?? '')?.[1] ?? '';
  return timingSafeEqual(digest(given), digest(token));
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}

/**
 * True if the header `Host` names this server. A foreign site whose name was pointed to this address (DNS rebinding)
 * sends its own name. IP addresses are always accepted, as they cannot be rebound.
 */
export function isAllowedHost(header: string | undefined, hosts: readonly string[]): boolean {
  const name = /^(\[[\da-f:.]+\]|[^:[\]]+)(?::\d{1,5})?$/i.exec(header ?? '')?.[1]?.toLowerCase();
  if (name === undefined) return false;
  return isIP(name.replace(/^\[|\]$/g, '')) !== 0 || name === 'localhost' || hosts.includes(name);
}

/** The link for a browser. The token is in the fragment: browsers do not send this part, so no log contains it. */
export function webLink({ address, port }: { address: string; port: number }, token: string): string {
  const any = address === '0.0.0.0' || address === '::';
  const host = any ? 'localhost' : address.includes(':') ? `[${address}]` : address;
  return `http://${host}:${port}/#token=${encodeURIComponent(token)}`;
}
