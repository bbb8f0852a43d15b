import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { machineWords } from '../../../bench/e2e/machine-words.ts';
import { threadTimes, usedBetween } from '../../../bench/e2e/threads.ts';
import { busySeconds, cpuTimes } from '../../../bench/lab/cpu.ts';
import type { Charges } from '../../../bench/lab/versions.ts';
import { e2e, file, RUN } from './bench-file.ts';

t.test('the words about a machine: dear and cheap costs, and the figures that follow', async t => {
  t.equal(machineWords(RUN), '', 'nothing where the costs were not measured');
  const run = file([
    ...e2e('vxlan', 'rr50', [60]),
    ...e2e('kernel', 'rr50', [20]),
    ...e2e('vxlan', 'cpu', [0.4]),
    ...e2e('vxlan', 'cpuUser', [0.1]),
    ...e2e('vxlan', 'cpuSystem', [0.2]),
    ...e2e('vxlan', 'cpuSoftirq', [0.1]),
  ]);
  const said = (charges: Charges) => machineWords({ ...run, machine: { ...run.machine, charges } });
  const dear = said({ systemCall: 950, wakeNear: 2_000, wakeFar: 6_200, copy: 8_000 });
  t.ok(dear.split('\n').every(line => line.length <= 80));
  const words = dear.replace(/\s+/g, ' ');
  t.match(words, /A system call costs 0\.95 us: dear/);
  t.match(words, /A wake-up costs 2\.00 us on one core, 6\.20 us across cores: dear/);
  t.match(words, /A copy of 64 KiB costs 8\.00 us, 8\.2 GB\/s\./);
  t.match(words, /6 threads on 2 cores/);
  t.match(
    words,
    /wirecs: up to 25 of the 60\.0 us of a round trip \(3\.00 of kernel VXLAN\) are the 4 wake-ups/,
  );
  t.match(words, /wirecs: 0\.061 of the 0\.400 s of CPU per gigabit are the 4 copies/);
  t.match(words, /User, system and softirq time: 25, 50, 25 %\./);
  const cheap = { systemCall: 120, wakeNear: 900, wakeFar: null, copy: 8_000 };
  t.match(said(cheap).replace(/\s+/g, ' '), /0\.12 us: cheap.*0\.90 us on one core: cheap/);
  const slow = said({ ...cheap, wakeFar: 18_000 }).replace(/\s+/g, ' ');
  t.match(
    slow,
    /would take 72 us\. A round trip takes 60\.0 us/,
    'more than was measured is not a part of it',
  );
});

t.test('busy time of all cores by kind', async t => {
  const stat = 'cpu  100 20 300 4000 50 6 70 8 9 0\ncpu0 1 2 3\n';
  t.same(cpuTimes(stat), { user: 1.2, system: 3, softirq: 0.76 });
  t.ok(Math.abs(busySeconds(stat) - 4.96) < 1e-9);
});

t.test('CPU time of threads, by node and name', async t => {
  const proc = mkdtempSync(join(tmpdir(), 'rs-threads-'));
  t.teardown(() => rmSync(proc, { recursive: true }));
  const thread = (pid: number, tid: number, name: string, user: number, system: number) => {
    mkdirSync(join(proc, `${pid}/task/${tid}`), { recursive: true });
    const fields = Array.from({ length: 40 }, (_, at) => (at === 11 ? user : at === 12 ? system : 0));
    writeFileSync(join(proc, `${pid}/task/${tid}/stat`), `${tid} (${name}) S ${fields.slice(1).join(' ')}\n`);
  };
  thread(7, 7, 'node', 100, 100);
  thread(7, 8, 'a ) b', 0, 0);
  thread(9, 9, 'node', 0, 0);
  thread(9, 10, 'node', 300, 0);
  const before = threadTimes([7, 9], proc);
  thread(7, 8, 'a ) b', 150, 50);
  thread(9, 11, 'node', 25, 0);
  const used = usedBetween(before, threadTimes([7, 9], proc));
  t.same(
    [...used],
    [
      ['node 1 a ) b', { user: 1.5, system: 0.5 }],
      ['node 2 others', { user: 0.25, system: 0 }],
    ],
  );
});
