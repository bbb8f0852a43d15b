import { randomBytes } from 'node:crypto';
import { formatMac as formatMacAt, viewOf } from '../../encap/wire/addresses.ts';

/** Six bytes of `aa:bb:cc:dd:ee:ff` (or with `-`, or with one digit per part); undefined when the text is no MAC. */
export function parseMac(text: string): Uint8Array | undefined {
  const parts = text.split(text.includes('-') ? '-' : ':');
  if (parts.length !== 6 || !parts.every(part => /^[0-9a-fA-F]{1,2}$/.test(part))) return undefined;
  return Uint8Array.from(parts, part => Number.parseInt(part, 16));
}

/** The text of six bytes. @throws RangeError for any other number of them */
export function formatMac(bytes: Uint8Array): string {
  if (bytes.length !== 6) throw new RangeError(`a MAC address of ${bytes.length} bytes`);
  return formatMacAt(viewOf(bytes), 0);
}

/** Text of a random unicast MAC that is locally administered (IEEE 802 clause 8.2). */
export function randomMac(): string {
  const bytes = new Uint8Array(randomBytes(6));
  const view = viewOf(bytes);
  view.setUint8(0, (view.getUint8(0) & 0xfc) | 0x02);
  return formatMac(bytes);
}
