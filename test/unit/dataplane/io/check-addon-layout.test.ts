import t from 'tap';
import * as vnet from '../../../../encap/wire/vnet-hdr.ts';
import * as descriptor from '../../../../src/dataplane/descriptor/descriptor.ts';
import * as verdict from '../../../../src/dataplane/descriptor/verdicts.ts';
import * as source from '../../../../src/dataplane/io/interfaces.ts';
import * as peer from '../../../../src/dataplane/tables/peer-table.ts';
import { native } from '../../../../src/native/load.ts';

t.test('the constants of the addon equal those of TypeScript', t => {
  const groups: [string, string, Record<string, unknown>][] = [
    ['descriptor', 'DESC_', descriptor],
    ['verdict', '', verdict],
    ['source', 'SOURCE_', source],
    ['peer', 'PEER_', peer],
  ];
  for (const [group, prefix, known] of groups)
    for (const [name, compiled] of Object.entries(native.constants[group] ?? {}))
      t.equal(known[prefix + name] ?? known[name], compiled, `${group}.${name}`);
  t.match(vnet, { NEEDS_CHECKSUM: native.constants.vnet?.NEEDS_CHECKSUM });
  t.end();
});
