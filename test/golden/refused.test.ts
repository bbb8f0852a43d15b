import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { CHECKOUT } from '../../bench/lab/tool.ts';

/*
 * The same golden tests on a kernel that refuses offloads at run time: what was to share a message or a write goes out
 * one by one, and the bytes and their order stay the same. Only the tests that count messages and writes differ.
 */

const folder = mkdtempSync(join(tmpdir(), 'ripstop-refuse-'));
t.teardown(() => rmSync(folder, { recursive: true, force: true }));
const library = join(folder, 'refuse.so');
const source = join(CHECKOUT, 'test/fixtures/preload/refuse.c');
const built = spawnSync(
  'gcc',
  ['-shared', '-fPIC', '-O1', '-Wall', '-Werror', '-o', library, source, '-ldl'],
  { encoding: 'utf8' },
);
t.equal(built.status, 0, `the preload builds ${built.stderr}`);

function run(
  name: string,
  only: string,
  refusal: Record<string, string>,
): { status: number | null; output: string } {
  const file = join(CHECKOUT, `dist/test/golden/${name}.test.js`);
  const env = { ...process.env, ...refusal, LD_PRELOAD: library, TAP: '1', TAP_GREP: only };
  const { status, stdout, stderr } = spawnSync(process.execPath, [file], {
    env,
    encoding: 'utf8',
    timeout: 600_000,
  });
  return { status, output: `${stdout.slice(-3000)}${stderr.slice(-1000)}` };
}

const refusals: [string, string, string, Record<string, string>][] = [
  ['UDP_SEGMENT refused with EIO', 'send', 'vxlan, at most 64', { REFUSE_GSO: String(constants.errno.EIO) }],
  [
    'UDP_SEGMENT refused with EINVAL',
    'send',
    'the wire equals',
    { REFUSE_GSO: String(constants.errno.EINVAL) },
  ],
  ['GSO packets refused by the device', 'coalesce', 'IP header at 14', { REFUSE_TUN_GSO: '1' }],
];

for (const [what, name, only, refusal] of refusals) {
  t.test(`${what}: the same bytes, one by one`, t => {
    const { status, output } = run(name, only, refusal);
    t.equal(status, 0, status === 0 ? 'same bytes' : output);
    t.match(output, /fallbacks [1-9]/, 'and the refusals were met');
    t.end();
  });
}

t.test('any other refusal is the verdict of the frames: too big, or failed with its errno', t => {
  for (const [errno, verdict] of [
    [constants.errno.EMSGSIZE, 'too-big'],
    [constants.errno.EPERM, 'send-failed'],
  ] as const) {
    const script = `
      import { sendRefused } from ${JSON.stringify(join(CHECKOUT, 'dist/test/golden/refused-send.js'))};
      console.log(JSON.stringify(sendRefused()));
    `;
    const env = { ...process.env, REFUSE_GSO: String(errno), LD_PRELOAD: library };
    const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
      env,
      encoding: 'utf8',
    });
    t.strictSame(JSON.parse(stdout || JSON.stringify(stderr)), [
      { verdict, errno, segments: 3 },
      { verdict: 'forward', errno: 0, segments: 1 },
      { verdict, errno, segments: 3 },
    ]);
  }
  t.end();
});
