import t from 'tap';
import * as seams from '../../../src/io/seams.ts';
import { native } from '../../../src/native/load.ts';
import * as verdicts from '../../../src/path/verdicts.ts';
import * as batch from '../../../src/shm/batch.ts';
import * as peers from '../../../src/shm/peers.ts';

t.test('every number that C++ was compiled with is one of ours', t => {
  const known: Record<string, unknown> = { ...batch, ...peers, ...seams, ...verdicts, STAT_COUNT: 4 };
  for (const [name, compiled] of Object.entries(native.layout)) t.equal(known[name], compiled, name);
  t.ok(Object.keys(native.layout).length > 30);
  t.end();
});
