import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { CHECKOUT } from '../../../bench/lab/tool.ts';
import { readOptions } from '../../../bench/options.ts';
import { launch } from '../../../src/lab/proc.ts';

const bench = (...args: string[]) => launch([process.execPath, `${CHECKOUT}dist/bench/main.js`, ...args]);

t.test('what is not said has a default, and --quick has others', async t => {
  const full = readOptions([]);
  const suites = ['micro', 'path', 'scale', 'sizing', 'traffic', 'cni', 'e2e', 'soak'];
  t.match(full, {
    suites,
    rounds: 5,
    seconds: 2,
    soak: 3600,
    stores: ['file'],
    inner: 4,
    underlay: 4,
    measures: undefined,
  });
  t.same(full.conditions, ['nic', 'wirecs', 'def', 'wiregro', 'wire']);
  t.match(readOptions(['--quick']), {
    rounds: 2,
    seconds: 1,
    contenders: ['kernel', 'vxlan'],
    conditions: ['nic'],
  });
  const chosen = readOptions([
    'e2e',
    '--contenders',
    'kernel,no-tso',
    '--measures',
    'rr',
    '--rounds',
    '7',
    '--inner',
    '6',
  ]);
  t.match(chosen, {
    suites: ['e2e'],
    contenders: ['kernel', 'no-tso'],
    brief: [],
    measures: ['rr'],
    rounds: 7,
    inner: 6,
  });
  t.same(readOptions(['--with', 'a', '--with', 'b']).with, ['a', 'b']);
  t.same(readOptions(['--compare', 'a', 'b']).compare, ['a', 'b']);
  t.throws(() => readOptions(['--compare', 'a']), { code: 'ECONFIG' });
  t.throws(() => readOptions(['e2']), { code: 'ECONFIG' });
});

t.test('a mistake is one clear line and a code', async t => {
  const wrong = bench('--contenders', 'kernal');
  t.not((await wrong.ended).code, 0);
  t.match(wrong.stderr, /"kernal" is unknown; did you mean "kernel"\?/);
  const folder = mkdtempSync(join(tmpdir(), 'bench-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  writeFileSync(join(folder, 'a.json'), '{"format":"other"}');
  const foreign = bench('--compare', join(folder, 'a.json'), join(folder, 'a.json'));
  t.equal((await foreign.ended).code, 1);
  t.match(foreign.stderr, /^bench: .*a\.json is not a file of bench --json; its "format" would be/);
  const absent = bench('--compare', join(folder, 'b.json'), join(folder, 'a.json'));
  t.equal((await absent.ended).code, 1);
  t.match(absent.stderr, /^bench: .*b\.json cannot be read as JSON: ENOENT/);
});
