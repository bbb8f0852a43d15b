import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import t, { type Test } from 'tap';
import type { Agent } from '../../../src/agent/agent.ts';
import { checkCpu } from '../../../src/diagnose/doctor/cpu-check.ts';
import { readCpuStats, readWaitingMs } from '../../../src/diagnose/doctor/cpu-stat.ts';

/** A cgroup file system with these files; `self` is /proc/self/cgroup. */
function cgroups(t: Test, files: Readonly<Record<string, string>>) {
  const folder = mkdtempSync(join(tmpdir(), 'rs-cpu-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), text);
  }
  return readCpuStats(folder, join(folder, 'self'));
}

t.test('cpu.stat of both versions of cgroups, of a process’s cgroup and those above', async t => {
  const v2 = (throttled: number) =>
    `usage_usec 9\nnr_periods 50\nnr_throttled ${throttled}\nthrottled_usec ${throttled * 5000}\n`;
  t.same(
    cgroups(t, {
      self: '0::/pods/pod1/main\n',
      'pods/pod1/main/cpu.stat': v2(0),
      'pods/pod1/cpu.stat': v2(7),
    }),
    [
      { cgroup: '/pods/pod1/main', throttled: 0, throttledMs: 0 },
      { cgroup: '/pods/pod1', throttled: 7, throttledMs: 35 },
    ],
    'the quota of a pod is above its containers',
  );
  const v1 = 'nr_periods 50\nnr_throttled 3\nthrottled_time 4000000\n';
  const self = '5:memory:/x\n4:cpu,cpuacct:/docker/abc\n';
  t.same(cgroups(t, { self, 'cpu,cpuacct/docker/abc/cpu.stat': v1 }), [
    { cgroup: '/docker/abc', throttled: 3, throttledMs: 4 },
  ]);
  t.same(
    cgroups(t, { self, 'cpu,cpuacct/cpu.stat': v1 }),
    [{ cgroup: '/', throttled: 3, throttledMs: 4 }],
    'a container sees its own cgroup as the root',
  );
  t.same(cgroups(t, { self: '0::/a\n', 'a/cpu.stat': 'usage_usec 5\n' }), [], 'no controller, no quota');
  t.same(cgroups(t, {}), []);
});

t.test('the time that threads wait for a processor is read from this kernel', async t => {
  t.ok(readWaitingMs() >= 0);
  t.equal(readWaitingMs('/nonexistent'), 0);
});

t.test('a node whose workers do not get the processor says so, with the reason', async t => {
  const agentWith = (slowResponses: number) => {
    const lag = { lastMs: 1, maxMs: 180 };
    const counters = () => ({ slowResponses, lag: { egress: lag, ingress: lag } });
    return { network: { overlays: [{ plan: { device: 'flannel.1' }, counters }] } } as unknown as Agent;
  };
  const readings = (...throttled: readonly number[]) => {
    let at = 0;
    return () => {
      const value = throttled[Math.min(at, throttled.length - 1)]!;
      at++;
      return {
        quotas: [{ cgroup: '/pod', throttled: value, throttledMs: value * 40 }],
        waitingMs: value * 100,
      };
    };
  };
  t.same(await checkCpu(agentWith(0), 1, readings(5)), [], 'throttled some time ago');
  t.match(await checkCpu(agentWith(0), 1, readings(5, 8)), [
    {
      kind: 'cpu-starved',
      severity: 'warning',
      what: /cgroup \/pod stopped .* 3 times .*120 ms/,
      remedy: /CPU limit/,
    },
  ]);
  t.same(await checkCpu(agentWith(5), 1, readings(0)), [], 'single pauses are those of any machine');
  t.match(await checkCpu(agentWith(20), 1, readings(0, 3)), [
    {},
    {
      kind: 'cpu-starved',
      what: /flannel\.1: a worker answered 20 of 60 times .*180 ms; its threads waited 300 ms/,
    },
  ]);
  t.same(await checkCpu({} as Agent, 1, readings(0)), [], 'without an overlay');
});
