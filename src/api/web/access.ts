import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { RipstopError } from '../../base/errors.ts';

/** Where the page listens, and who may ask. */
export interface PageOptions {
  /** IP address. */
  readonly address: string;
  readonly port: number;
  /** Of `pageToken`. */
  readonly token: string;
  /** Names besides `localhost` by which browsers may call it. */
  readonly hosts: readonly string[];
}

const TOKEN_MIN = 16;

/**
 * The token without which the page tells nothing. Also on loopback: every user of the machine, and every pod in its
 * network namespace, reaches that, and captures show what pods say to each other.
 * @param tokenFile file that holds it; empty: a new one each start, which only a loopback address may have
 * @throws RipstopError ECONFIG
 */
export function pageToken(address: string, tokenFile: string): string {
  if (tokenFile === '') {
    if (isLoopback(address)) return randomBytes(24).toString('base64url');
    throw new RipstopError(
      'ECONFIG',
      `the page may not listen on ${address} without a token of yours`,
      'name a file that holds one with --page-token-file, or leave it on 127.0.0.1',
    );
  }
  let text: string;
  try {
    text = readFileSync(tokenFile, 'utf8').trim();
  } catch (error) {
    throw new RipstopError('ECONFIG', `token of the page: ${(error as Error).message}`);
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

/** True when the header `Authorization` bears the token; takes the same time for every wrong one. */
export function isAuthorized(header: string | undefined, token: string): boolean {
  const given = /^Bearer ([\x21-\x7e]+)$/i.exec(header ?? '')?.[1] ?? '';
  return timingSafeEqual(digest(given), digest(token));
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}

/**
 * True when the header `Host` is one that we go by. A page elsewhere whose name was made to point here (DNS rebinding)
 * comes with its own name; an address cannot be made to.
 */
export function isAllowedHost(header: string | undefined, hosts: readonly string[]): boolean {
  const name = /^(\[[\da-f:.]+\]|[^:[\]]+)(?::\d{1,5})?$/i.exec(header ?? '')?.[1]?.toLowerCase();
  if (name === undefined) return false;
  return isIP(name.replace(/^\[|\]$/g, '')) !== 0 || name === 'localhost' || hosts.includes(name);
}

/** The address of the page for a browser, the token behind `#`: that part is never sent, so no log has it. */
export function pageLink({ address, port }: { address: string; port: number }, token: string): string {
  const any = address === '0.0.0.0' || address === '::';
  const host = any ? 'localhost' : address.includes(':') ? `[${address}]` : address;
  return `http://${host}:${port}/#${token}`;
}
