import t from 'tap';
import * as batch from '../../../../src/dataplane/descriptor/descriptor.ts';
import * as verdicts from '../../../../src/dataplane/descriptor/verdicts.ts';
import * as seams from '../../../../src/dataplane/io/interfaces.ts';
import * as peers from '../../../../src/dataplane/tables/peer-table.ts';
import { native } from '../../../../src/native/load.ts';

t.test('every number that C++ was compiled with is one of ours', t => {
  const known: Record<string, unknown> = { ...batch, ...peers, ...seams, ...verdicts, STAT_COUNT: 4 };
  for (const [name, compiled] of Object.entries(native.layout)) t.equal(known[name], compiled, name);
  t.ok(Object.keys(native.layout).length > 30);
  t.end();
});
