import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { availableParallelism } from 'node:os';
import t from 'tap';
import { tool } from '../../../bench/lab/tool.ts';
import { measureCharges } from '../../../bench/lab/versions.ts';
import { launch } from '../../../src/lab/proc.ts';
import { until } from '../../../src/lab/until.ts';
import { seeded } from '../../fixtures/random.ts';

t.test("the bench tools' SHA-256, with and without the processor's instructions, is Node's", async t => {
  const random = seeded(t);
  const lengths = [0, 1, 55, 56, 63, 64, 65, 119, 120, 127, 128, 70_001, random.between(0, 300_000)];
  for (const length of lengths) {
    const data = random.bytes(length);
    const expected = createHash('sha256').update(data).digest('hex');
    for (const variant of ['auto', 'plain']) {
      const { stdout } = spawnSync(tool('sha256sum'), [variant], { input: data, encoding: 'utf8' });
      t.equal(stdout.trim(), expected, `${length} bytes, ${variant}`);
    }
  }
});

t.test('a transfer over loopback arrives whole, for both families', async t => {
  for (const address of ['127.0.0.1', '::1']) {
    const receiver = launch([tool('transfer'), 'receive', address, '0', '120']);
    const [, port] = await receiver.saying(/^listening (\d+)$/m);
    const bytes = 3_000_001;
    const sent = JSON.parse(
      await launch([tool('transfer'), 'send', address, port!, `${bytes}`, '7', '120']).success(),
    );
    const received = JSON.parse((await receiver.success()).split('\n')[1]!);
    t.equal(received.bytes, bytes);
    t.equal(received.sha256, sent.sha256);
  }
});

t.test('a process is waited for, bounded and ended', async t => {
  const soonMs = 50;
  const late = launch(['sleep', '30']);
  await t.rejects(late.success(soonMs), { code: 'ETIMEDOUT' });
  t.equal(late.result?.signal, 'SIGKILL');
  const failing = launch(['sh', '-c', 'echo the reason >&2; exit 3']);
  await t.rejects(failing.success(), { code: 'ECHILD', message: /code 3[\s\S]*the reason/ });
  await t.rejects(launch(['sh', '-c', 'echo no']).saying(/yes/), { code: 'ECHILD' });
  await t.rejects(launch(['/nonexistent/command']).success(), { code: 'ECHILD' });
  await t.rejects(
    until('the impossible', () => false, soonMs),
    { code: 'ETIMEDOUT', message: /the impossible/ },
  );
});

t.test('the costs of this machine, each a positive number', async t => {
  const { systemCall, wakeNear, wakeFar, copy } = measureCharges();
  for (const cost of [systemCall, wakeNear, copy]) t.ok(cost > 0, `${cost} ns`);
  t.ok(wakeFar === null ? availableParallelism() === 1 : wakeFar > 0, `${wakeFar} ns across cores`);
});
