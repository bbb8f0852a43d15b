import t from 'tap';
import { PATIENCE_MS } from '../../src/lab/until.ts';
import { sourcesBelow } from './checks/sources.ts';
import { hurriedWaits, PATIENT_MS, timeFaults } from './checks/time-rules.ts';

const tests = sourcesBelow('dist/test', ['.test.js']);

t.test('no test asserts a time, sleeps for a fixed one, or gives up early', async t => {
  t.ok(tests.length > 150, `${tests.length} compiled tests`);
  t.same(
    tests.flatMap(({ path, text }) => timeFaults(text).map(fault => `${path}: ${fault}`)),
    [],
  );
});

t.test('no fixture gives up early', async t => {
  const fixtures = sourcesBelow('dist/test', ['.js']).filter(
    ({ path }) => !/\.test\.js$|\/guard\//.test(path),
  );
  t.ok(fixtures.length > 40, `${fixtures.length} compiled fixtures`);
  t.same(
    fixtures.flatMap(({ path, text }) => hurriedWaits(text).map(fault => `${path}: ${fault}`)),
    [],
  );
  t.equal(PATIENT_MS, PATIENCE_MS);
});

const BAD: readonly (readonly [string, RegExp])[] = [
  ['const from = performance.now(); f(); t.ok(performance.now() - from < 8000);', /compares/],
  ['const from = Date.now(); f(); const ms = Math.round(Date.now() - from); t.ok(ms <= 800);', /compares/],
  ['const a = process.hrtime.bigint(); t.ok(process.hrtime.bigint() - a > 5n);', /compares/],
  [
    'const s = (performance.now() - began) / 1000; const began = performance.now(); t.ok(n < 6 + s);',
    /compares/,
  ],
  ['const end = performance.now() + 5; t.ok(performance.now() < end);', /compares/],
  ['if (performance.now() - from > 2000) t.fail("slow"); const from = performance.now();', /compares/],
  ['t.ok((await stream.end()).lost <= 25);', /compares/],
  ['t.ok(gapMs < 1000);', /compares/],
  ['t.ok(down.end.sum_received.bits_per_second > 12e6);', /compares/],
  ['const rate = f(); t.ok(rate > 12e6 && rate < 26e6);', /compares.*\n.*compares/],
  ['await new Promise(resolve => setTimeout(resolve, 300)); t.same(seen, []);', /sleeps/],
  ['for (const a of b) g(async () => { await new Promise(r => setTimeout(r, 300)); });', /sleeps/],
  ['await sleep(300);', /sleeps/],
  ['await until("x", f, 5_000);', /gives up/],
  ['await agent.ready(1, 20_000);', /gives up/],
  ['await proc.saying(/ready/, 15_000);', /gives up/],
  ['await proc.success(3000);', /gives up/],
  ['await until("x", f, 60_000, 100);', /gives up/],
  ['await transfer({ ...ends, bytes: 5, timeoutMs: 60_000 });', /gives up/],
  ['const bulk = transfer({ timeoutMs: 1500 }); await t.rejects(bulk);', /gives up/],
  ['t.setTimeout(60_000);', /time limit/],
  ['t.test("x", { skip, timeout: 120_000 }, f);', /time limit/],
  ['t.test("traffic is back within a second", f);', /promises/],
  ['t.test(`all of it in 5 seconds`, f);', /promises/],
];

const GOOD: readonly string[] = [
  'const end = performance.now() + 5; while (performance.now() < end || n < 50) f();',
  'for (let i = 0; performance.now() - from < 1000; i++) f(i); const from = performance.now();',
  'a.map(async (x, i) => { await new Promise(r => setTimeout(r, i * 20)); });',
  'const slow = async x => { await new Promise(r => setTimeout(r, 2)); return f(x); };',
  'for (;;) { f(); await new Promise(resolve => setTimeout(resolve, 5)); }',
  'const before = Date.now(); f(); const after = Date.now(); t.ok(at >= before - 2 && at <= after + 2);',
  'const past = Date.now() / 1000 - 60; utimesSync(file, past, past);',
  't.ok(status().workerLagMs > 0); t.equal(lost, 0); t.ok(received < sent);',
  `await until("x", f, ${PATIENT_MS}, 200); await until("x", f); await stays(t, "x", f, [], 900);`,
  'await agent.ready(1); await proc.success(120_000);',
  'await t.rejects(transfer({ ...ends, timeoutMs: 1500 }), "nothing arrives"); await t.rejects(proc.success(5));',
  'const daemon = new Daemon({ timeoutMs: 100 }); await transfer({ ...ends, timeoutMs: 120_000 });',
  't.comment(gapMs);',
  't.test("one second a token, a burst in the first", { skip }, f);',
];

t.test('the check finds what it looks for, and nothing else', async t => {
  for (const [code, fault] of BAD) t.match(timeFaults(code).join('\n'), fault, code);
  for (const code of GOOD) t.same(timeFaults(code), [], code);
});
