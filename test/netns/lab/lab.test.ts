import { existsSync, readdirSync } from 'node:fs';
import t from 'tap';
import { CHECKOUT } from '../../../bench/lab/tool.ts';
import { attempt } from '../../../src/lab/command.ts';
import { launch, type Proc } from '../../../src/lab/proc.ts';
import { until } from '../../../src/lab/until.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

/* `ripstop lab` as a program: what COMMAND gets, how it ends, and that nothing is left. */

const MAIN = `${CHECKOUT}dist/src/cli/main.js`;
const skip = skipUnless('root', 'netns', 'tun', 'ip', 'ping', 'sysctl');

const lab = (...words: string[]) => launch([process.execPath, MAIN, 'lab', ...words]);

/** Namespaces and files of the lab with this process id. */
function leftOf(pid: number): string[] {
  const namespaces = readdirSync('/run/netns').filter(name => name.startsWith(`rs-${pid}-`));
  return [...namespaces, ...(existsSync(`/tmp/rs-${pid}`) ? [`/tmp/rs-${pid}`] : [])];
}

/** Ids of the processes in the namespaces of a lab. */
function processesIn(pid: number): number[] {
  const namespaces = readdirSync('/run/netns').filter(name => name.startsWith(`rs-${pid}-`));
  return namespaces
    .flatMap(name => attempt(['ip', 'netns', 'pids', name]).stdout.split('\n'))
    .filter(Boolean)
    .map(Number);
}

/** Waits until a lab stands and its command has begun to sleep. */
async function standing(
  t: { equal(a: unknown, b: unknown, c: string): unknown; teardown(undo: () => unknown): void },
  ...words: string[]
): Promise<{ proc: Proc; nodes: number[] }> {
  const proc = lab(...words);
  t.teardown(() => proc.stop('SIGKILL'));
  await proc.saying(/removed at the end/);
  const nodes = processesIn(proc.pid);
  t.equal(nodes.length, 2, 'an agent in each node');
  return { proc, nodes };
}

const areGone = (pids: readonly number[]) => pids.every(pid => !existsSync(`/proc/${pid}`));

for (const mode of ['vxlan', 'udp', 'kernel-vxlan', 'host-gw'])
  t.test(
    `${mode}: the command reaches pods of three nodes in both families by their variables`,
    { skip: skip || (mode === 'kernel-vxlan' && skipUnless('vxlan', 'bridge')) },
    async t => {
      const script = `for address in $LAB_POD4_IPV4 $LAB_POD4_IPV6 $LAB_POD6_IPV4 $LAB_POD6_IPV6; do
          ip netns exec $LAB_POD1 ping -c 1 -W 10 $address || exit 9
        done
        echo "$LAB_NODES nodes, $LAB_PODS pods"
        exit 7`;
      const family = mode === 'udp' || mode === 'host-gw' ? '6' : '4';
      const proc = lab(
        ...['--nodes=3', '--pods=2', `--mode=${mode}`, `--family=${family}`, '--', 'sh', '-c', script],
      );
      const ended = await proc.ended;
      t.same(ended, { code: 7, signal: null }, proc.stderr);
      t.match(proc.stdout, '3 nodes, 6 pods');
      t.match(proc.stderr, `3 nodes, ${mode} over IPv${family}`);
      t.same(leftOf(proc.pid), []);
    },
  );

t.test('the socket of a node answers', { skip }, async t => {
  const script = `exec ${process.execPath} ${MAIN} peers --json --socket $LAB_NODE2_SOCKET`;
  const proc = lab('--', 'sh', '-c', script);
  const { peers } = JSON.parse(await proc.success()) as { peers: { address: string }[] };
  t.same(
    peers.map(({ address }) => address),
    ['172.31.0.1'],
  );
});

t.test('a command that is killed, or does not exist, ends the lab', { skip }, async t => {
  const killed = lab('--', 'sh', '-c', 'kill -9 $$');
  t.equal((await killed.ended).code, 137);
  t.same(leftOf(killed.pid), []);
  const absent = lab('--', 'no-such-program');
  t.equal((await absent.ended).code, 1);
  t.match(absent.stderr, /no-such-program: spawn .*ENOENT/);
  t.same(leftOf(absent.pid), []);
});

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
  t.test(`${signal} reaches the command, whose exit status is that of the lab`, { skip }, async t => {
    const trap = `trap 'echo ended by itself; exit 5' ${signal.slice(3)}; echo begun; while :; do sleep 0.1; done`;
    const { proc, nodes } = await standing(t, '--', 'sh', '-c', trap);
    await proc.saying(/begun/);
    proc.kill(signal);
    t.equal((await proc.ended).code, 5);
    t.match(proc.stdout, 'ended by itself');
    t.ok(areGone(nodes));
    t.same(leftOf(proc.pid), []);
  });

t.test('without a command and a terminal it waits for a signal', { skip }, async t => {
  const { proc, nodes } = await standing(t);
  proc.kill('SIGINT');
  t.equal((await proc.ended).code, 0);
  t.ok(areGone(nodes));
  t.same(leftOf(proc.pid), []);
});

t.test('--clean removes what a killed lab has left, with its processes', { skip }, async t => {
  const { proc, nodes } = await standing(t);
  proc.kill('SIGKILL');
  await proc.ended;
  t.ok(leftOf(proc.pid).length > 0 || areGone(nodes), 'it is left, unless another test was faster');
  t.match(JSON.parse(await lab('--clean', '--json').success()), { format: 'ripstop-lab-clean/1' });
  t.same(leftOf(proc.pid), []);
  await until('the agents to have ended', () => areGone(nodes));
});

t.test('--json prints the lab, and is refused together with a command', { skip }, async t => {
  const proc = lab('--json', '--mode=host-gw');
  t.teardown(() => proc.stop('SIGKILL'));
  await proc.saying(/^\}/m);
  t.match(JSON.parse(proc.stdout), {
    ...{ format: 'ripstop-lab/1', mode: 'host-gw', underlay: 4, mtu: 1500 },
    nodes: [{ name: 'node1', netns: /^rs-/, socket: null, pods: [{ name: 'pod1', ipv4: '10.244.1.2' }] }, {}],
  });
  proc.kill('SIGTERM');
  t.equal((await proc.ended).code, 0);
  const both = lab('--json', '--', 'true');
  t.equal((await both.ended).code, 2);
  t.match(both.stderr, /standard output belongs to COMMAND/);
});

t.test(
  'a rate is that of TBF on both nodes; delay and loss are by netem, or refused',
  { skip: skip || skipUnless('tc') },
  async t => {
    const show = 'for node in $LAB_NODE1 $LAB_NODE2; do tc -n $node qdisc show dev eth0; done';
    const limited = await lab('--mode=host-gw', '--link=20mbit', '--', 'sh', '-c', show).success();
    t.equal(
      [...limited.matchAll(/qdisc tbf 10: root .*rate 20Mbit burst \d+b lat 50ms/g)].length,
      2,
      limited,
    );
    const slow = lab('--mode=host-gw', '--link=20mbit,3ms', '--', 'sh', '-c', show);
    if ((await slow.ended).code === 0) {
      t.equal([...slow.stdout.matchAll(/netem 1: root .*delay 3ms/g)].length, 2, slow.stdout);
      t.equal([...slow.stdout.matchAll(/tbf 10: parent 1:1 rate 20Mbit/g)].length, 2, slow.stdout);
    } else {
      t.match(slow.stderr, /no queueing discipline netem, which delay and loss take; .*modprobe sch_netem/);
      t.equal(
        attempt([
          'unshare',
          '--net',
          'sh',
          '-c',
          'ip link set lo up; tc qdisc add dev lo root netem delay 3ms',
        ]).code,
        2,
      );
    }
    t.same(leftOf(slow.pid), []);
  },
);
