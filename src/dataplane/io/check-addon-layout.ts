import * as vnet from '../../../encap/wire/vnet-hdr.ts';
import { RipstopError } from '../../base/errors.ts';
import { native } from '../../native/load.ts';
import * as descriptor from '../descriptor/descriptor.ts';
import * as verdict from '../descriptor/verdicts.ts';
import * as peer from '../tables/peer-table.ts';
import * as source from './interfaces.ts';

/*
 * The layout of shared memory stands in C++ and in TypeScript. A binary that was built from other sources would read
 * and write the wrong words, so it is refused before the first batch, by the name of the first field that differs.
 */
const KNOWN: Record<string, [prefix: string, constants: Record<string, unknown>]> = {
  descriptor: ['DESC_', { ...descriptor }],
  peer: ['PEER_', { ...peer }],
  source: ['SOURCE_', { ...source }],
  verdict: ['', { ...verdict }],
  vnet: ['', { ...vnet }],
};

for (const [group, constants] of Object.entries(native.constants)) {
  const [prefix, known] = KNOWN[group] ?? ['', {}];
  for (const [name, compiled] of Object.entries(constants)) {
    const ours = known[prefix + name] ?? known[name];
    if (ours === undefined || ours === compiled) continue;
    throw new RipstopError(
      'ELAYOUT',
      `the native addon has ${group} ${name} at ${compiled}, the code at ${String(ours)}`,
      'build it again (npm run build)',
    );
  }
}
