import { RipstopError } from '../../base/errors.ts';
import { native } from '../../native/load.ts';
import * as batch from '../descriptor/descriptor.ts';
import * as peers from '../tables/peer-table.ts';
import * as seams from './interfaces.ts';

/*
 * The layout of shared memory stands in C++ and in TypeScript. A binary that was built from other sources would read
 * and write the wrong words, so it is refused before the first batch, by the name of the first field that differs.
 */
const KNOWN: Record<string, unknown> = { ...batch, ...peers, ...seams };

for (const [name, compiled] of Object.entries(native.layout)) {
  if (!Object.hasOwn(KNOWN, name) || KNOWN[name] === compiled) continue;
  throw new RipstopError(
    'ELAYOUT',
    `the native addon has ${name} at ${compiled}, the code at ${KNOWN[name]}`,
    'build it again (npm run build)',
  );
}
