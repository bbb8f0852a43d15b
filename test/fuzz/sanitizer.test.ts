import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import t from 'tap';
import { CHECKOUT } from '../../bench/lab/tool.ts';
import { buildSanitized, sanitizedEnvironment } from '../fixtures/sanitized.ts';

/*
 * The tests that drive the addon hardest, once more under address and undefined-behaviour sanitizers.
 */

const TESTS = ['golden/send', 'golden/coalesce'];

buildSanitized();

for (const name of TESTS) {
  t.test(`${name} under ASan and UBSan`, t => {
    const file = join(CHECKOUT, `dist/test/${name}.test.js`);
    const run = spawnSync(process.execPath, [file], {
      env: { ...sanitizedEnvironment(), TAP: '1' },
      encoding: 'utf8',
      timeout: 600_000,
    });
    const finding = /(ERROR: AddressSanitizer|runtime error:)[\s\S]*/.exec(run.stderr)?.[0].slice(0, 4000);
    t.equal(finding, undefined, 'no finding');
    t.equal(
      run.status,
      0,
      run.status === 0 ? 'passes' : `${run.stdout.slice(-2000)}${run.stderr.slice(-2000)}`,
    );
    t.match(run.stdout, /^1\.\.[1-9]\d*$/m, 'and did run');
    t.end();
  });
}

t.test('the sanitizers are loaded, and a descriptor that lies is refused', t => {
  const script = `
    import { native } from ${JSON.stringify(join(CHECKOUT, 'dist/src/native/load.js'))};
    const table = new Int32Array(32);
    // One byte that claims an IPv4 header behind it, for a descriptor that does not exist: counted, nothing read.
    table.set([0, 1, 0, 0, 0, 0, 1], 0);
    native.tunWrite(1000, new Uint8Array(1), table, 1, 3, 1450, 1450, new Int32Array(4));
    console.log(process.report.getReport().sharedObjects.some(name => name.includes('libasan')));
  `;
  const run = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
    env: sanitizedEnvironment(),
    encoding: 'utf8',
  });
  t.equal(run.status, 0, run.stderr.slice(-500));
  t.match(run.stdout, /true/, 'libasan is loaded');
  t.end();
});
