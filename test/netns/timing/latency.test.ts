import t from 'tap';
import { AS_AGENTS_DO, deployRipstop } from '../../../bench/contenders/ripstop.ts';
import { CHECKOUT } from '../../../bench/lab/tool.ts';
import type { Latency } from '../../../src/diagnose/latency/budget.ts';
import type { Runtime } from '../../../src/diagnose/runtime.ts';
import { launch } from '../../../src/lab/proc.ts';
import type { Lab } from '../../../src/lab/topology.ts';
import { stays } from '../../fixtures/agents/stays.ts';
import { compiled } from '../../fixtures/compile.ts';
import { holdWorker } from '../../fixtures/io/hold-workers.ts';
import { labFor } from '../../fixtures/lab.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

/* What delays a round trip is put there by the test: `ripstop latency` must name it, and `ripstop runtime` a stopped worker. */

const MAIN = `${CHECKOUT}dist/src/cli/main.js`;
const skip = skipUnless('root', 'netns', 'tun', 'ip', 'ping', 'sysctl', 'ethtool', 'cc', 'tcpdump');
/** How long a stopped worker stays stopped after the echo has left, ms: far more than a busy machine adds elsewhere. */
const STALL_MS = 1500;
/** Delay of the middle node for one direction, ms. */
const DELAY_MS = 400;

async function nodesOf(
  t: Parameters<typeof labFor>[0],
  lab: Lab,
  configuration: { threadsPerQueue?: 'one' | 'two' } = {},
) {
  const deployment = await deployRipstop(lab, { underlay: 4 }, { ...AS_AGENTS_DO, configuration });
  t.teardown(() => void deployment.stop());
  return deployment.processes;
}

const ask = (socket: string, ...words: string[]) =>
  launch([process.execPath, MAIN, ...words, '--json', `--socket=${socket}`]);

t.test('all round trips of an idle pair are placed, and the shares make one', { skip }, async t => {
  const [one] = await nodesOf(t, labFor(t));
  for (const peer of ['node2', '172.31.0.2']) {
    const answer = JSON.parse(await ask(one!.socket, 'latency', peer, '--count=10').success()) as Latency;
    t.match(answer, {
      peer: 'node2',
      address: '172.31.0.2',
      tunnelAddress: '10.244.2.0',
      sent: 10,
      answered: 10,
    });
    t.equal(answer.unplaced, 0);
    t.equal(answer.stages.length, 8);
    const whole = answer.stages.reduce((sum, { share }) => sum + share, 0);
    t.ok(Math.abs(whole - 1) < 1e-9, `${whole}`);
  }
  const unknown = ask(one!.socket, 'latency', 'node9');
  t.equal((await unknown.ended).code, 2);
  t.match(unknown.stderr, /no peer "node9"; known are node2/);
});

t.test('a middle node that delays is the underlay', { skip }, async t => {
  const lab = labFor(t, { nodes: 3 });
  lab.condition('wirecs');
  const fabric = lab.fabric!;
  fabric.ip('link set port1 nomaster', 'link set port2 nomaster');
  const cable = fabric.launch([compiled('delay'), 'port1', 'port2', `${DELAY_MS * 1000}`]);
  await cable.saying(/joined/);
  const [one] = await nodesOf(t, lab);
  const answer = JSON.parse(await ask(one!.socket, 'latency', 'node2', '--count=5').success()) as Latency;
  t.equal(answer.answered, 5);
  t.equal(answer.guilty, 'underlay', JSON.stringify(answer));
  const { p50Ms } = answer.stages.find(({ stage }) => stage === 'underlay')!;
  t.ok(p50Ms >= 2 * DELAY_MS, `${p50Ms} ms of underlay, there and back`);
});

for (const [node, direction, guilty] of [
  [0, 'egress', 'device-queue'],
  [0, 'ingress', 'receive'],
  [1, 'ingress', 'peer'],
  [1, 'egress', 'peer'],
] as const)
  t.test(`a stopped ${direction} worker of node ${node + 1} is ${guilty}`, { skip }, async t => {
    const lab = labFor(t);
    const processes = await nodesOf(t, lab);
    const [first] = lab.nodes;
    // The tunnel has carried packets: no neighbour is to be found.
    t.equal(first!.pods[0]!.ns.attempt(['ping', '-c1', '-W10', lab.nodes[1]!.pods[0]!.address[4]]).code, 0);
    const release = await holdWorker(lab.nodes[node]!.ns, processes[node]!.pid, direction);
    const echo = first!.ns.launch(['tcpdump', '-lni', 'flannel.1', '-c', '1', 'icmp[icmptype] == icmp-echo']);
    await echo.saying(/listening on/);
    const run = ask(processes[0]!.socket, 'latency', 'node2', '--count=1');
    await echo.saying(/echo request/);
    await stays(t, 'the round trip is open', () => run.result, undefined, STALL_MS);
    await release();
    const answer = JSON.parse(await run.success()) as Latency;
    t.equal(answer.answered, 1);
    t.equal(answer.guilty, guilty, JSON.stringify(answer));
  });

/** Measures the workers of the first node while a pod pings. */
async function runtimeOfPings(lab: Lab, socket: string): Promise<Runtime> {
  const [from, to] = lab.nodes.map(({ pods }) => pods[0]!);
  const pings = from!.ns.launch(['ping', '-i', '0.02', to!.address[4]]);
  await pings.saying(/icmp_seq=2 /);
  const busy = JSON.parse(await ask(socket, 'runtime', '--seconds=1').success()) as Runtime;
  await pings.stop('SIGINT');
  return busy;
}

for (const threadsPerQueue of ['one', 'two'] as const)
  t.test(
    `runtime of ${threadsPerQueue} per queue: both directions have their time once`,
    { skip },
    async t => {
      const lab = labFor(t);
      const [node] = await nodesOf(t, lab, { threadsPerQueue });
      const { workers } = await runtimeOfPings(lab, node!.socket);
      t.same(
        workers.map(({ device, direction, worker }) => [device, direction, worker]),
        threadsPerQueue === 'one'
          ? [
              ['flannel.1', 'egress', 'both-0'],
              ['flannel.1', 'ingress', 'both-0'],
            ]
          : [
              ['flannel.1', 'egress', 'egress-0'],
              ['flannel.1', 'ingress', 'ingress-1'],
            ],
      );
      for (const { batches, frames, segments, calls, asleep, nanoseconds, stages } of workers) {
        t.ok(frames > 0 && frames >= batches, `${frames} frames in ${batches} batches`);
        t.ok(segments > 0 && calls > 0, `${segments} packets, ${calls} calls`);
        const stagesNs = stages.reduce((sum, stage) => sum + stage.nanoseconds, 0);
        t.ok(
          stagesNs > 0 && asleep > 0 && stagesNs + asleep <= nanoseconds * 1.001,
          'no time is counted twice',
        );
      }
    },
  );

t.test('runtime names a worker that does not answer', { skip }, async t => {
  const lab = labFor(t);
  const [one] = await nodesOf(t, lab, { threadsPerQueue: 'two' });
  const release = await holdWorker(lab.nodes[0]!.ns, one!.pid, 'ingress');
  const held = JSON.parse(await ask(one!.socket, 'runtime', '--seconds=1').success()) as Runtime;
  t.ok(held.workers[0]!.nanoseconds > 0);
  t.equal(held.workers[1]!.nanoseconds, 0);
  await release();
});
