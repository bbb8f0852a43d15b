import { existsSync, readdirSync, readFileSync } from 'node:fs';
import t from 'tap';
import type { DemoReport } from '../../../bench/demo/report.ts';
import { CHECKOUT } from '../../../bench/lab/tool.ts';
import { launch } from '../../../src/lab/proc.ts';
import { until } from '../../../src/lab/until.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

const skip = skipUnless('root', 'netns', 'tun', 'vxlan', 'ip', 'ping', 'ethtool', 'iperf3');
const MAIN = `${CHECKOUT}dist/bench/demo/main.js`;

/** Namespaces and files that the process with this pid made. */
function leftovers(pid: number): string[] {
  const spaces = existsSync('/run/netns') ? readdirSync('/run/netns') : [];
  const files = readdirSync('/tmp').filter(name => name === `rs-${pid}`);
  return [...spaces.filter(name => name.startsWith(`rs-${pid}-`)), ...files];
}

/** Processes that run on a file of the process with this pid. */
function survivors(pid: number): string[] {
  return readdirSync('/proc').filter(entry => {
    try {
      return (
        /^\d+$/.test(entry) && readFileSync(`/proc/${entry}/cmdline`, 'utf8').includes(`/tmp/rs-${pid}/`)
      );
    } catch {
      return false; // it ended while we looked
    }
  });
}

const demo = (...args: string[]) => launch([process.execPath, MAIN, ...args]);

t.test('--quick --json: one object, every figure next to that of the kernel', { skip }, async t => {
  const run = demo('--mode', 'vxlan', '--quick', '--json');
  const output = await run.success();
  t.match(output, /^\{.*\}\n$/, 'a single line of JSON and nothing else');
  const report = JSON.parse(output) as DemoReport;
  t.match(report, {
    format: 'ripstop-demo/1',
    ok: true,
    mode: 'vxlan',
    inner: 4,
    underlay: 4,
    run: 'quick',
    errors: [],
  });
  t.match(report.ping, { ripstop: { sent: 10, received: 10 }, kernel: { sent: 10, received: 10 } });
  t.match(report.transfer, { ripstop: { intact: true }, kernel: { intact: true } });
  t.equal(report.transfer.ripstop?.sent, report.transfer.kernel?.received, 'both carried the same file');
  t.match(report.versions, {
    node: process.version,
    kernel: String,
    ripstop: /^\d+\.\d+\.\d+/,
    iperf3: String,
  });
  t.same(report.mtu, { ripstop: 1450, kernel: 1450 });
  t.equal(report.throughput.congestion, 'cubic');
  t.ok(report.throughput.samples.ripstop.length >= 1, 'every round is kept');
  for (const [name, pair, digits] of [
    ['throughput', report.throughput, 3],
    ['p50', report.latency.p50, 1],
    ['p99', report.latency.p99, 1],
    ['packets', report.packets, 0],
    ['cpu', report.cpu, 2],
  ] as const) {
    const [own, other, ratio] = [pair.ripstop!, pair.kernel!, pair.ratio!];
    t.ok(own > 0 && other > 0, `${name}: both measured`);
    // The ratio is that of the figures before they were rounded, and is rounded itself.
    const error = 0.5 * 10 ** -digits;
    const [least, most] = [(own - error) / (other + error), (own + error) / (other - error)];
    t.ok(ratio > least - 0.001 && ratio < most + 0.001, `${name}: the ratio is theirs`);
  }
  t.same(leftovers(run.pid), [], 'and nothing is left');
});

t.test('--check in every mode and family: pings answered, hashes the same', { skip }, async t => {
  for (const mode of ['vxlan', 'udp']) {
    for (const [inner, underlay] of ['44', '46', '64', '66']) {
      const run = demo(
        '--check',
        '--json',
        '--no-kernel',
        '--mode',
        mode,
        '--inner',
        inner!,
        '--underlay',
        underlay!,
      );
      const report = JSON.parse(await run.success()) as DemoReport;
      const name = `${mode}, inner ${inner}, underlay ${underlay}`;
      t.match(report, { ok: true, mode, inner: Number(inner), underlay: Number(underlay) }, name);
      t.equal(report.transfer.ripstop?.sent, report.transfer.ripstop?.received, name);
      t.equal(report.transfer.kernel, null);
      t.equal(report.throughput.ripstop, null, 'nothing is measured');
    }
  }
});

t.test('Ctrl-C in the middle removes everything', { skip }, async t => {
  const run = demo('--quick', '--no-kernel');
  await run.saying(/TCP, 1 stream/);
  t.not(leftovers(run.pid).length, 0);
  run.kill('SIGINT');
  t.equal((await run.ended).code, 130);
  t.match(run.stderr, /interrupted/);
  t.same(leftovers(run.pid), []);
  await until('its processes to be gone', () => survivors(run.pid).length === 0);
});

t.test('what a killed run left behind, the next one removes', { skip }, async t => {
  const killed = demo('--quick', '--no-kernel');
  await killed.saying(/ping/);
  // Asked before the kill: after it, another test file may remove what the run left.
  t.not(leftovers(killed.pid).length, 0, 'a run has namespaces');
  killed.kill('SIGKILL');
  await killed.ended;
  const next = demo('--check', '--no-kernel');
  await next.success();
  t.same(leftovers(killed.pid), []);
  await until('its processes to be gone', () => survivors(killed.pid).length === 0);
});

t.test('--keep leaves a working overlay, --remove ends it', { skip }, async t => {
  const kept = demo('--check', '--keep', '--no-kernel');
  t.teardown(() => demo('--remove').ended);
  await kept.success();
  const pod = /pod behind it: ip netns exec (\S+) bash/.exec(kept.stderr)?.[1];
  t.ok(pod, 'it says how to enter a pod');
  await demo('--check', '--no-kernel').success();
  const ping = launch(['ip', 'netns', 'exec', pod!, 'ping', '-c1', '-W2', '10.244.2.2']);
  t.match(await ping.success(), /1 received/, 'another run leaves it alone');
  const removal = demo('--remove');
  await removal.success();
  t.match(removal.stderr, new RegExp(pod!));
  t.same(leftovers(kept.pid), []);
  await until('its processes to be gone', () => survivors(kept.pid).length === 0);
});

t.test('what cannot stand is said in the object, too, and leaves nothing', { skip }, async t => {
  // Without a TUN there is no Ripstop: /dev/net is hidden from this run alone.
  const hidden = 'mount -t tmpfs none /dev/net && exec "$0" "$@"';
  const run = launch(['unshare', '--mount', 'sh', '-c', hidden, process.execPath, MAIN, '--check', '--json']);
  const ended = await run.ended;
  t.equal(ended.code, 1);
  const report = JSON.parse(run.stdout) as DemoReport;
  t.equal(report.ok, false);
  t.match(report.errors, [/Ripstop: no \/dev\/net\/tun here/]);
  t.equal(report.transfer.ripstop, null);
  t.same(leftovers(run.pid), []);
});

t.test('a mistake on the command line is one clear line', async t => {
  const run = demo('--mode', 'vxlen');
  t.not((await run.ended).code, 0);
  t.match(run.stderr, /vxlen.*vxlan, udp/);
  t.equal(run.stdout, '');
});
