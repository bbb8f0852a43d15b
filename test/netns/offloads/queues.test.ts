import { readFileSync } from 'node:fs';
import t, { type Test } from 'tap';
import { audited } from '../../../bench/contenders/fate.ts';
import { tool } from '../../../bench/lab/tool.ts';
import { transfer } from '../../../bench/lab/transfer.ts';
import type { Family, Mode } from '../../../encap/encap.ts';
import type { Status } from '../../../src/api/answers.ts';
import type { DataPlane } from '../../../src/dataplane/dataplane.ts';
import { requirePrefix } from '../../../src/ip/prefix.ts';
import type { Node } from '../../../src/lab/topology.ts';
import { until } from '../../../src/lab/until.ts';
import { agentsFor, fileStoreFor } from '../../fixtures/agents/agents.ts';
import { overlayFor, podAddress, verdicts } from '../../fixtures/agents/overlay.ts';
import { labFor } from '../../fixtures/lab.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

/*
 * Several queues: a flow stays in one queue in each direction, so that its packets keep their order. Numbered datagrams show
 * the order, hashed transfers show that nothing is lost or mixed, the counters by queue show who carried what.
 */

const skip = skipUnless('root', 'netns', 'tun', 'ip', 'cc');
const FLOWS = 32;
const SECONDS = 2;
/** Packets per second of all flows. */
const PACE = 6000;

interface Arrived {
  received: number;
  reordered: number;
}

/** Numbered datagrams of several flows from one pod to the other. */
async function numbered(from: Node, to: Node, family: Family, flows = FLOWS): Promise<Arrived> {
  const program = tool('packets');
  const address = podAddress(to, family);
  const receiver = to.pods[0]!.ns.launch([program, 'receive', address, '0', `${SECONDS + 120}`]);
  const [, port] = await receiver.saying(/^listening (\d+)$/m);
  const sending = [program, 'send', address, port!, '200', `${flows}`, `${PACE}`, `${SECONDS}`];
  await from.pods[0]!.ns.launch(sending).success();
  return JSON.parse((await receiver.success()).split('\n')[1]!) as Arrived;
}

/** The same both ways at once, so that a queue that follows the answers would change. */
async function inOrder(t: Test, [one, two]: readonly Node[], family: Family): Promise<void> {
  for (const [way, { received, reordered }] of (
    await Promise.all([numbered(one!, two!, family), numbered(two!, one!, family)])
  ).entries()) {
    t.ok(received > PACE / 4, `IPv${family}, way ${way}: ${received} packets`);
    t.equal(reordered, 0, 'none of them overtook another one of its flow');
  }
}

async function intact(t: Test, [one, two]: readonly Node[], family: Family, bytes: number): Promise<void> {
  const pairs = Array.from({ length: 12 }, (_, i): [Node, Node] =>
    i % 2 === 0 ? [one!, two!] : [two!, one!],
  );
  const results = await Promise.all(
    pairs.map(([from, to], seed) =>
      transfer({ from: from.pods[0]!.ns, to: to.pods[0]!.ns, address: podAddress(to, family), bytes, seed }),
    ),
  );
  t.ok(
    results.every(result => result.intact),
    `${results.length} transfers over IPv${family} at once arrived as they were sent`,
  );
}

const queuesOf = (plane: DataPlane) => plane.counters().queues;
const busy = (counts: readonly number[]) => counts.filter(frames => frames > 0).length;

/** Whether the queues have all frames that the data plane judged. */
function isWhole({ verdicts: judged, queues }: ReturnType<DataPlane['counters']>): boolean {
  const { 'device-queue-full': _full, 'socket-dropped': _dropped, ...rest } = judged;
  const frames = Object.values(rest).reduce((sum, one) => sum + one.frames, 0);
  return frames > 0 && frames === queues.reduce((sum, { egress, ingress }) => sum + egress + ingress, 0);
}

for (const mode of ['vxlan', 'udp'] as const satisfies readonly Mode[])
  for (const underlay of [4, 6] as const)
    t.test(`${mode} over IPv${underlay}: order, transfers, peers that change`, { skip }, async t => {
      const lab = labFor(t);
      const planes = await overlayFor(t, lab, { mode, underlay, queues: 3, busyPollMicroseconds: 50 });
      const [near, far] = planes as [DataPlane, DataPlane];
      t.equal(near.offloads.steering, 'on');
      for (const family of [4, 6] as const) {
        await inOrder(t, lab.nodes, family);
        let changes = 0;
        const peer = {
          id: 'other',
          address: underlay === 4 ? '172.31.0.9' : 'fd31::9',
          mac: mode === 'vxlan' ? '0a:58:fc:00:00:09' : undefined,
          subnets: [requirePrefix('10.244.9.0/24')],
        };
        const timer = setInterval(() => {
          near.changePeers({ set: changes++ % 2 === 0 ? [peer] : [], removed: ['other'] });
        }, 5);
        await intact(t, lab.nodes, family, 4_000_000);
        clearInterval(timer);
        t.ok(changes > 1, `meanwhile another peer came and went ${changes} times`);
      }
      for (const plane of planes) {
        const queues = queuesOf(plane);
        t.equal(busy(queues.map(({ egress }) => egress)), 3, `each queue sends: ${JSON.stringify(queues)}`);
        // In udp mode all datagrams of a peer have one source port, by which the kernel chooses the socket.
        const receiving = busy(queues.map(({ ingress }) => ingress));
        if (mode === 'udp') t.equal(receiving, 1, 'one socket receives what one peer sends');
        else t.equal(receiving, 3, 'each socket receives');
        await until('each frame in one queue', () => isWhole(plane.counters()));
      }

      const before = [queuesOf(near), queuesOf(far)] as const;
      const { received, reordered } = await numbered(lab.nodes[0]!, lab.nodes[1]!, 4, 1);
      t.equal(reordered, 0);
      const after = [queuesOf(near), queuesOf(far)] as const;
      const much = (counts: readonly number[]) => counts.filter(frames => frames > received / 2).length;
      t.equal(
        much(after[0].map(({ egress }, i) => egress - before[0][i]!.egress)),
        1,
        'one queue has one flow',
      );
      t.equal(much(after[1].map(({ ingress }, i) => ingress - before[1][i]!.ingress)), 1, 'and one socket');
      t.comment(JSON.stringify(planes.map(verdicts)));
    });

t.test('a program that the kernel refuses: the queues work, and the state says why', { skip }, async t => {
  const refusals = { EPERM: 'needs CAP_BPF', ENOSYS: 'not supported by this kernel' };
  for (const [code, state] of Object.entries(refusals))
    await t.test(code, async t => {
      const lab = labFor(t);
      const loadSteering = () => {
        throw Object.assign(new Error(code), { code, syscall: 'bpf(BPF_PROG_LOAD)' });
      };
      const [plane] = await overlayFor(t, lab, { queues: 2, loadSteering });
      t.equal(plane!.offloads.steering, state);
      await intact(t, lab.nodes, 4, 500_000);
    });
});

t.test('agents: another number of workers while packets flow', { skip }, async t => {
  const lab = labFor(t);
  const [one, two] = lab.nodes as [Node, Node];
  const backend = (workers: number) => ({ Backend: { Type: 'vxlan', Ripstop: { workers } } });
  const store = fileStoreFor(t, backend(2));
  const { agents } = agentsFor(t, lab, store.flags);
  const [first, second] = agents;
  for (const agent of agents) agent.rememberSubnet();
  first!.start();
  second!.startWith(['+net_admin', '+net_raw']);
  for (const agent of agents) await agent.ready(1);
  const overlayOf = async (agent: typeof first): Promise<Status['overlays'][number]> =>
    (await agent!.ask('/status')).overlays[0]!;
  t.match(await overlayOf(first), { queues: { length: 2 }, offloads: { steering: 'on' } });
  t.match(await overlayOf(second), { queues: { length: 2 }, offloads: { steering: 'needs CAP_BPF' } });
  t.match(readFileSync(second!.log, 'utf8'), /steering \(needs CAP_BPF\)/);
  await second!.stop();
  second!.start();
  await second!.ready(1);
  lab.podMtu(1450);
  const carries = () => one.pods[0]!.ns.attempt(['ping', '-c1', '-W1', podAddress(two, 4)]).code === 0;
  await until('traffic', carries);

  for (const workers of [3, 1, 2]) {
    // Packets flow during the change as well; what is lost then is not judged.
    const meanwhile = numbered(one, two, 4, 8);
    store.write(backend(workers));
    for (const agent of agents)
      await until(`${workers} queues`, async () => (await overlayOf(agent)).queues?.length === workers);
    await meanwhile;
    await until('traffic again', carries);
    await inOrder(t, lab.nodes, 4);
    await intact(t, lab.nodes, 4, 1_000_000);
  }
  const ends = [first!, second!].map((agent, at) => ({ node: lab.nodes[at]!, socket: agent.socket })) as [
    { node: Node; socket: string },
    { node: Node; socket: string },
  ];
  const { result, fate } = await audited(ends, SECONDS + 8, () => numbered(one, two, 4));
  t.equal(result.reordered, 0);
  t.equal(fate.residue, 0, JSON.stringify(fate));
  t.ok(fate.delivered >= result.received);
});
