import { viewOf } from '../../../encap/wire/addresses.ts';
import { RipstopError } from '../../base/errors.ts';
import { parseMac } from '../../ip/mac.ts';

/** A MAC address: first two bytes and last four bytes as big-endian values, the latter as a signed int32. */
export interface Mac {
  readonly hi: number;
  readonly lo: number;
}

/** MAC text as the two words of the tables. @throws RipstopError ECONFIG */
export function packMac(text: string, where: string): Mac {
  const bytes = parseMac(text);
  if (!bytes)
    throw new RipstopError(
      'ECONFIG',
      `${where}: ${JSON.stringify(text)} is not a MAC address`,
      'write aa:bb:cc:dd:ee:ff',
    );
  const view = viewOf(bytes);
  return { hi: view.getUint16(0), lo: view.getInt32(2) };
}
