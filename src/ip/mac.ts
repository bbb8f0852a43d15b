import { randomBytes } from 'node:crypto';
import { macText, viewOf } from '../../encap/wire/addresses.ts';
import { RipstopError } from '../base/errors.ts';

const MAC = /^[\da-f]{1,2}([:-])[\da-f]{1,2}(\1[\da-f]{1,2}){4}$/i;

/** Six bytes of `aa:bb:cc:dd:ee:ff` (or with `-`, or with one digit per part); undefined for any other text. */
export function parseMac(text: string): Uint8Array | undefined {
  if (!MAC.test(text)) return undefined;
  return Uint8Array.from(text.split(/[:-]/), part => Number.parseInt(part, 16));
}

/** Reads a MAC address. @throws RipstopError ECONFIG */
export function macBytes(text: string): Uint8Array {
  const bytes = parseMac(text);
  if (!bytes)
    throw new RipstopError(
      'ECONFIG',
      `${JSON.stringify(text)} is not a MAC address`,
      'write aa:bb:cc:dd:ee:ff',
    );
  return bytes;
}

/** Text of a random unicast MAC that is locally administered (IEEE 802 clause 8.2). */
export function randomMac(): string {
  const bytes = new Uint8Array(randomBytes(6));
  const view = viewOf(bytes);
  view.setUint8(0, (view.getUint8(0) & 0xfc) | 0x02);
  return macText(bytes);
}
