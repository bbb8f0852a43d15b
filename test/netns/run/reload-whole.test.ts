import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import type { Answer, AnswerPath, Status } from '../../../src/api/answers.ts';
import { getJson } from '../../../src/api/client.ts';
import type { Proc } from '../../../src/lab/proc.ts';
import type { Lab, Node } from '../../../src/lab/topology.ts';
import { until } from '../../../src/lab/until.ts';
import {
  type Configuration,
  configurationOf,
  kernelPicture,
  newStateDir,
  runCommand,
} from '../../fixtures/agents/run-node.ts';
import { labFor } from '../../fixtures/lab.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

/* SIGHUP is all or nothing, restarts the overlay at most once, and the end of the process restores the node. */

const SKIP = { skip: skipUnless('root', 'netns', 'tun', 'ip') };

/** `ripstop run` on the first node of a lab. */
class RunningNode {
  readonly node: Node;
  readonly proc: Proc;
  readonly stateDir = newStateDir();
  readonly #file: string;

  constructor(lab: Lab, folder: string, configuration: Configuration) {
    this.node = lab.nodes[0]!;
    this.#file = join(folder, 'node.yaml');
    this.write(configuration);
    this.proc = this.node.ns.launch([...runCommand(this.#file, this.stateDir), '--log-level=debug']);
  }

  write(configuration: Configuration): void {
    writeFileSync(this.#file, JSON.stringify(configuration));
  }

  /** Reads the file again. Resolves when the log says what became of it. */
  async reload(configuration: Configuration): Promise<void> {
    const count = () => this.proc.stderr.split(/configuration read again|keeping the current/).length;
    const before = count();
    this.write(configuration);
    this.proc.kill('SIGHUP');
    await until('the reload', () => count() > before);
  }

  ask<P extends AnswerPath>(path: P): Promise<Answer<P>> {
    return getJson(join(this.stateDir, 'agent.sock'), path);
  }

  /** Waits until it is ready and has started its network so many times. */
  async ready(networkStarts = 1): Promise<Status> {
    let status: Status | undefined;
    await until(`the overlay to have started ${networkStarts} times`, async () => {
      status = await this.ask('/status').catch(() => undefined);
      return status?.ready === true && status.networkStarts === networkStarts;
    });
    return status!;
  }
}

t.test('what was changed of others is restored after the overlay was restarted', SKIP, async t => {
  const lab = labFor(t, { podsPerNode: 0 });
  const [one, two] = lab.nodes as [Node, Node];
  one.ns.sysctl('net.ipv4.ip_forward=0');
  one.ns.ip(`route add ${two.subnet[4]} via ${two.underlay[4]} proto static`);
  const before = kernelPicture(one.ns);
  const run = new RunningNode(lab, t.testdir(), configurationOf(one, [two]));
  await run.ready();
  t.match(one.ns.must(['ip', 'route', 'show', two.subnet[4]]), 'dev flannel.1');
  await run.reload(configurationOf(one, [two], { mtu: 1300 }));
  await run.ready(2);
  t.match(await run.proc.stop(), { code: 0 });
  t.equal(kernelPicture(one.ns), before);
});

t.test('a file that this node cannot follow changes nothing, its peers neither', SKIP, async t => {
  const lab = labFor(t, { nodes: 3, podsPerNode: 0 });
  const [one, two, three] = lab.nodes as [Node, Node, Node];
  const run = new RunningNode(lab, t.testdir(), configurationOf(one, [two]));
  await run.ready();
  const faults: readonly (readonly [Configuration, RegExp])[] = [
    [{ underlay: 'nosuch0' }, /keeping the current configuration: .*nosuch0: no such interface here/],
    [{ mtu: 9000 }, /keeping the current configuration: .*MTU 9000 does not fit/],
    [{ driver: 'tuntap2', workers: 2 }, /keeping the current configuration: .*(2 queues|node-tuntap2)/],
    [
      { subnets: ['172.31.0.0/16'], peers: [] },
      /keeping the current configuration: .*172\.31\.0\.0\/16 of this node overlaps/,
    ],
  ];
  for (const [change, says] of faults) {
    await run.reload({ ...configurationOf(one, [two, three]), ...change });
    await run.proc.saying(says);
    const peers = await run.ask('/peers');
    t.strictSame(
      peers.map(({ address }) => address),
      [two.underlay[4]],
      `${Object.keys(change)}: the peers stay`,
    );
    await run.ready();
  }
  await run.reload(configurationOf(one, [two, three]));
  t.equal((await run.ask('/peers')).length, 2, 'and the right file is taken up');
  await run.ready();
  t.notMatch(run.proc.stderr, /restarting the overlay/);
  t.match(await run.proc.stop(), { code: 0 });
});

t.test('other own subnets and another key at once restart the overlay once', SKIP, async t => {
  const lab = labFor(t, { podsPerNode: 0 });
  const [one, two] = lab.nodes as [Node, Node];
  const run = new RunningNode(lab, t.testdir(), configurationOf(one, [two]));
  await run.ready();
  // The peer takes over the former subnet of this node, which the bridge of its pods has no more.
  one.ns.ip('link del cni0');
  const swapped = configurationOf(one, [two], { subnets: ['10.244.9.0/24'], mtu: 1300 });
  (swapped.peers as { subnets: string[] }[])[0]!.subnets = [one.subnet[4]];
  await run.reload(swapped);
  const status = await run.ready(2);
  t.strictSame(status.lease?.subnets, ['10.244.9.0/24']);
  t.match(one.ns.must(['ip', 'route', 'show', one.subnet[4]]), 'dev flannel.1');
  t.match(one.ns.must(['ip', 'link', 'show', 'flannel.1']), /mtu 1300/);
  const restarts = run.proc.stderr.match(/restarting the overlay, traffic is interrupted: /g);
  t.equal(restarts?.length, 1, run.proc.stderr);
  t.notMatch(run.proc.stderr, /gone from the store|reacquired|ignoring lease/);
  t.match(readFileSync(join(run.stateDir, 'subnet.env'), 'utf8'), 'FLANNEL_SUBNET=10.244.9.1/24');
  t.match(await run.proc.stop(), { code: 0 });
});

t.test('subnet.env has network and subnet without the key networks', SKIP, async t => {
  const lab = labFor(t, { podsPerNode: 0 });
  const [one, two] = lab.nodes as [Node, Node];
  const run = new RunningNode(lab, t.testdir(), configurationOf(one, [two]));
  await run.ready();
  t.equal(
    readFileSync(join(run.stateDir, 'subnet.env'), 'utf8'),
    [
      'FLANNEL_NETWORK=0.0.0.0/0',
      'FLANNEL_SUBNET=10.244.1.1/24',
      'FLANNEL_IPV6_NETWORK=::/0',
      'FLANNEL_IPV6_SUBNET=fd00:10:244:1::1/64',
      'FLANNEL_MTU=1450',
      'FLANNEL_IPMASQ=false\n',
    ].join('\n'),
  );
  t.match(await run.proc.stop(), { code: 0 });
});
