import { writeFileSync } from 'node:fs';
import t, { type Test } from 'tap';
import { transfer } from '../../../bench/lab/transfer.ts';
import type { Audit, AuditDirection } from '../../../src/diagnose/audit/balance.ts';
import type { DropStatus } from '../../../src/diagnose/drops.ts';
import type { Namespace } from '../../../src/lab/namespace.ts';
import type { Proc } from '../../../src/lab/proc.ts';
import type { Node, Pod } from '../../../src/lab/topology.ts';
import { until } from '../../../src/lab/until.ts';
import { configurationOf, MAIN, newStateDir, runCommand } from '../../fixtures/agents/run-node.ts';
import { labFor } from '../../fixtures/lab.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

/*
 * What the kernel drops at the device's queue and at the tunnel's socket is among the drops, with the kernel's own number,
 * and the account of everything that entered has no residue.
 */

const skip = skipUnless('root', 'netns', 'tun', 'ip');

/** Sends `count` datagrams of `bytes` as fast as the kernel takes them. */
function flood(from: Namespace, to: string, port: number, count: number, bytes: number): void {
  const program = `
    const socket = require('node:dgram').createSocket('udp${to.includes(':') ? 6 : 4}');
    const payload = Buffer.alloc(${bytes});
    let left = ${count};
    const next = () => { if (left-- > 0) socket.send(payload, ${port}, '${to}', next); else socket.close(); };
    next();`;
  from.must([process.execPath, '-e', program]);
}

/** Frames that the queue of the device refused, by the device's own counter. */
function queueDrops(node: Node): number {
  const [link] = JSON.parse(node.ns.must(['ip', '-j', '-s', 'link', 'show', 'flannel.1']));
  return link.stats64.tx.dropped;
}

/** Datagrams that the socket of the tunnel refused, by its row of /proc/net/udp. */
function socketDrops(node: Node): number {
  const rows = node.ns.must(['cat', '/proc/net/udp']).split('\n');
  const row = rows.find(line => line.includes(`:${(8472).toString(16).toUpperCase()} `)) ?? '';
  return Number(row.trim().split(/\s+/).at(-1));
}

/** A node with its process and its commands. */
interface Running {
  readonly node: Node;
  readonly proc: Proc;
  /** Command line of `ripstop drops --json` with these words. */
  drops(...words: string[]): string[];
}

/** Two nodes that are each other's peer. */
async function pairFor(t: Test): Promise<[Running, Running]> {
  const [one, two] = labFor(t).nodes as [Node, Node];
  const folder = t.testdir();
  const start = async (node: Node, peer: Node): Promise<Running> => {
    const file = `${folder}/node${node.index}.yaml`;
    const stateDir = newStateDir();
    writeFileSync(file, JSON.stringify(configurationOf(node, [peer])));
    const proc = node.ns.launch(runCommand(file, stateDir));
    await proc.saying(/"ready":true/);
    const socket = `--socket=${stateDir}/agent.sock`;
    return { node, proc, drops: (...words) => [process.execPath, MAIN, 'drops', '--json', socket, ...words] };
  };
  return Promise.all([start(one, two), start(two, one)]);
}

function framesOf({ node, drops }: Running, reason: string): number {
  const found: DropStatus[] = JSON.parse(node.ns.must(drops())).drops;
  return found.find(drop => drop.reason === reason)?.frames ?? 0;
}

t.test(
  'a flood of a node that does not run, counted under a name with the number of the kernel',
  { skip },
  async t => {
    const [one, two] = await pairFor(t);
    t.equal(framesOf(one, 'device-queue-full'), 0, 'nothing at the device before');
    t.equal(framesOf(two, 'socket-dropped'), 0, 'nothing at the socket before');

    one.proc.kill('SIGSTOP');
    flood(one.node.pods[0]!.ns, two.node.pods[0]!.address[4], 9, 4000, 18);
    one.proc.kill('SIGCONT');
    const refused = queueDrops(one.node);
    t.ok(refused > 1000, `the queue refused ${refused} of 4000`);
    t.equal(framesOf(one, 'device-queue-full'), refused, 'all of them are among the drops');

    two.proc.kill('SIGSTOP');
    flood(one.node.ns, two.node.underlay[4], 8472, 1000, 32_000);
    two.proc.kill('SIGCONT');
    const lost = socketDrops(two.node);
    t.ok(lost > 100, `the socket refused ${lost} of 1000`);
    t.equal(framesOf(two, 'socket-dropped'), lost, 'all of them are among the drops');
  },
);

/** Frames that a pod has sent. */
function sentBy(pod: Pod): number {
  const [link] = JSON.parse(pod.ns.must(['ip', '-j', '-s', 'link', 'show', 'eth0']));
  return link.stats64.tx.packets;
}

t.test('floods and TCP in both directions, accounted for without a residue', { skip }, async t => {
  const [one, two] = await pairFor(t);
  const [near, far] = [one.node.pods[0]!, two.node.pods[0]!];
  const audits = [one, two].map(({ node, drops }) => node.ns.launch(drops('--audit', '--duration=10')));
  for (const { node, drops } of [one, two]) {
    await until('the count of packets', () =>
      node.ns.must(['tc', 'filter', 'show', 'dev', 'eth0', 'ingress']).includes('ripstop'),
    );
    // The process takes its first readings in the same turn: when it answers again, it has them.
    node.ns.must(drops());
  }
  const before = [near, far].map(sentBy);
  one.proc.kill('SIGSTOP');
  flood(near.ns, far.address[4], 9, 3000, 1200);
  one.proc.kill('SIGCONT');
  flood(far.ns, near.address[6], 9, 3000, 18);
  const { intact } = await transfer({ from: far.ns, to: near.ns, address: near.address[4], bytes: 20 << 20 });
  t.ok(intact);
  const sent = [near, far].map((pod, index) => sentBy(pod) - before[index]!);
  const accounts: Audit[] = await Promise.all(audits.map(async proc => JSON.parse(await proc.success())));
  for (const [index, account] of accounts.entries()) {
    const [egress, ingress] = account.directions as [AuditDirection, AuditDirection];
    t.match([egress, ingress], [{ direction: 'egress' }, { direction: 'ingress' }]);
    t.equal(egress.residue.frames, 0, `node ${index + 1}: no frame of egress is without an outcome`);
    t.equal(egress.queued, 0);
    t.equal(ingress.residue.frames, 0, `node ${index + 1}: no datagram of ingress is without an outcome`);
    // The neighbour discovery of the pod does not leave by the overlay.
    const difference = Math.abs(egress.entered.frames - sent[index]!);
    t.ok(difference <= 20, `${egress.entered.frames} of the ${sent[index]} frames of the pod entered`);
  }
  const [first, second] = accounts.map(({ directions }) => directions[0]!) as [
    AuditDirection,
    AuditDirection,
  ];
  t.ok(second.entered.segments > second.entered.frames, 'TCP left the pod as GSO packets');
  const lost = first.outcomes.find(({ verdict }) => verdict === 'device-queue-full');
  t.equal(
    lost?.frames,
    queueDrops(one.node),
    'the flood of the node that did not run has its name in the account',
  );
  t.equal(second.residue.segments, 0, 'where the kernel dropped nothing, no segment is without an outcome');
  for (const { node } of [one, two])
    t.notMatch(node.ns.must(['tc', 'qdisc', 'show']), /clsact/, 'nothing stays at the devices');
});

/** Frames of one batch of egress, at most. */
const BATCH = 64;

t.test(
  'an audit that ends while a flood runs, its residue at most the queue and one batch',
  { skip },
  async t => {
    const [one, two] = await pairFor(t);
    const [near, far] = [one.node.pods[0]!, two.node.pods[0]!];
    const seconds = 5;
    const program = `
    const socket = require('node:dgram').createSocket('udp4');
    const payload = Buffer.alloc(18);
    const next = () => socket.send(payload, 9, '${far.address[4]}', next);
    next();`;
    const sender = near.ns.launch([process.execPath, '-e', program]);
    const accounts: Audit[] = await Promise.all(
      [one, two].map(async ({ node, drops }) =>
        JSON.parse(await node.ns.launch(drops('--audit', `--duration=${seconds}`)).success()),
      ),
    );
    await sender.stop();
    const [egress] = accounts[0]!.directions as [AuditDirection];
    const [, ingress] = accounts[1]!.directions as [AuditDirection, AuditDirection];
    const queue = 1000;
    for (const { direction, entered, residue } of [egress, ingress]) {
      t.ok(entered.segments > queue + BATCH, `${direction}: ${entered.segments} packets entered`);
      t.ok(Math.abs(residue.frames) <= queue + BATCH, `${direction}: residue of ${residue.frames}`);
    }
  },
);
