import { writeFileSync } from 'node:fs';
import t from 'tap';
import type { Namespace } from '../../../src/lab/namespace.ts';
import type { Node } from '../../../src/lab/topology.ts';
import { until } from '../../../src/lab/until.ts';
import { type Configuration, configurationOf, runReady } from '../../fixtures/agents/run-node.ts';
import { labFor } from '../../fixtures/lab.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

/* SIGHUP: the peers are read again while traffic flows. */

const skip = skipUnless('root', 'netns', 'tun', 'ip', 'ping');

/** A ping at `perSecond` until stopped; tells what was lost. What was under way at the end does not count. */
function steadyPing(from: Namespace, to: string, perSecond: number) {
  const proc = from.launch(['ping', '-i', String(1 / perSecond), '-W', '1', to]);
  return async () => {
    await proc.stop('SIGINT');
    const answered = new Set([...proc.stdout.matchAll(/icmp_seq=(\d+)/g)].map(match => Number(match[1])));
    const sent = Math.max(0, ...answered);
    return { sent, received: answered.size };
  };
}

t.test('peers added, changed and removed under traffic; the others lose nothing', { skip }, async t => {
  const lab = labFor(t, { nodes: 3 });
  const [one, two, three] = lab.nodes as [Node, Node, Node];
  const folder = t.testdir();
  const file = (node: Node) => `${folder}/node${node.index}.yaml`;
  const write = (node: Node, configuration: Configuration) =>
    writeFileSync(file(node), JSON.stringify(configuration));
  write(one, configurationOf(one, [two]));
  write(two, configurationOf(two, [one]));
  write(three, configurationOf(three, [one, two]));
  const procs = await Promise.all(lab.nodes.map(node => runReady(node.ns, file(node))));
  const [first, second] = procs as [(typeof procs)[0], (typeof procs)[0]];
  let reloads = 0;
  const reload = async (node: Node, proc: (typeof procs)[0], configuration: Configuration) => {
    write(node, configuration);
    const count = () =>
      proc.stderr.split('configuration read again').length + proc.stderr.split('keeping the current').length;
    const before = count();
    proc.kill('SIGHUP');
    await until('the reload', () => count() > before);
    reloads++;
  };
  const reaches = (from: Node, to: Node, family: 4 | 6) =>
    from.pods[0]!.ns.attempt(['ping', '-c', '1', '-W', '1', to.pods[0]!.address[family]]).code === 0;
  t.ok(reaches(one, two, 4));
  t.notOk(reaches(one, three, 4), 'no peer yet');

  const steady = ([4, 6] as const).map(family =>
    steadyPing(one.pods[0]!.ns, two.pods[0]!.address[family], 200),
  );
  // Added.
  await reload(one, first, configurationOf(one, [two, three]));
  await reload(two, second, configurationOf(two, [one, three]));
  for (const family of [4, 6] as const) t.ok(reaches(one, three, family), `added, IPv${family}`);
  t.match(one.ns.must(['ip', 'route', 'show', three.subnet[4]]), 'dev flannel.1');

  // Changed: its IPv4 subnet goes to another one, its address and with it its MAC change.
  three.ns.ip('addr add 172.31.0.33/24 dev eth0');
  const moved = configurationOf(one, [two, three]);
  (moved.peers as { address: string }[])[1]!.address = '172.31.0.33';
  await procs[2]!.stop();
  write(three, { ...configurationOf(three, [one, two]), underlay: '172.31.0.33' });
  procs[2] = await runReady(three.ns, file(three));
  await reload(one, first, moved);
  t.ok(reaches(one, three, 4), 'at its new address');
  t.notOk(reaches(two, three, 4), 'node 2 knows the old address only: its packets are not taken from there');

  // Removed, many times, with others in between.
  for (let round = 0; round < 5; round++) {
    await reload(one, first, configurationOf(one, [two]));
    await reload(one, first, moved);
  }
  await reload(one, first, configurationOf(one, [two]));
  t.equal(one.ns.must(['ip', 'route', 'show', three.subnet[4]]), '', 'its route is gone');
  t.notMatch(
    one.ns.must(['ip', 'neigh', 'show', 'nud', 'permanent']),
    three.tunnel[4],
    'its neighbour is gone',
  );
  t.notOk(reaches(one, three, 4));

  // A file that is wrong changes nothing.
  write(one, { ...configurationOf(one, [two]), prots: 1 });
  first.kill('SIGHUP');
  await first.saying(/"level":"error".*keeping the current configuration: .*prots: unknown key/);

  for (const end of steady) {
    const { sent, received } = await end();
    t.ok(sent > 100, `${sent} sent`);
    t.equal(sent - received, 0, `none lost over ${reloads} reloads`);
  }

  // Other keys restart the data plane, not the process.
  await reload(one, first, { ...configurationOf(one, [two]), mtu: 1300, workers: 2 });
  await first.saying(/restarting the overlay, traffic is interrupted: .*workers is 2 \(file\), was 1/);
  // The former data plane carries packets until the next one is prepared.
  await until('the new MTU', () => one.ns.must(['ip', 'link', 'show', 'flannel.1']).includes('mtu 1300'));
  await until('traffic with the new settings', () => reaches(one, two, 4));
  for (const proc of procs) t.match(await proc.stop(), { code: 0 });
});

t.test('five nodes, all pairs', { skip }, async t => {
  const lab = labFor(t, { nodes: 5 });
  const folder = t.testdir();
  const procs = await Promise.all(
    lab.nodes.map(node => {
      const file = `${folder}/node${node.index}.yaml`;
      const peers = lab.nodes.filter(peer => peer !== node);
      writeFileSync(file, JSON.stringify(configurationOf(node, peers, { mode: 'udp' }, 6)));
      return runReady(node.ns, file);
    }),
  );
  const pairs = lab.nodes.flatMap(from => lab.nodes.filter(to => to !== from).map(to => ({ from, to })));
  const pings = pairs.flatMap(({ from, to }) =>
    ([4, 6] as const).map(async family => {
      const proc = from.pods[0]!.ns.launch([
        'ping',
        '-c',
        '5',
        '-i',
        '0.1',
        '-W',
        '2',
        to.pods[0]!.address[family],
      ]);
      return { what: `${from.index} to ${to.index} IPv${family}`, ...(await proc.ended), said: proc.stdout };
    }),
  );
  for (const { what, code, said } of await Promise.all(pings))
    t.ok(code === 0 && / 0% packet loss/.test(said), what);
  for (const proc of procs) t.match(await proc.stop(), { code: 0 });
});

t.test('changes by other programs, a removed device among them: repaired', { skip }, async t => {
  const lab = labFor(t);
  const [one, two] = lab.nodes as [Node, Node];
  const folder = t.testdir();
  const procs = await Promise.all(
    lab.nodes.map((node, i) => {
      const file = `${folder}/node${node.index}.yaml`;
      writeFileSync(file, JSON.stringify(configurationOf(node, [lab.nodes[1 - i]!])));
      return runReady(node.ns, file);
    }),
  );
  const reaches = () =>
    one.pods[0]!.ns.attempt(['ping', '-c', '1', '-W', '1', two.pods[0]!.address[4]]).code === 0;
  t.ok(reaches());
  for (const wound of [
    `route del ${two.subnet[4]}`,
    `neigh del ${two.tunnel[4]} dev flannel.1`,
    'link set flannel.1 down',
    'link del flannel.1',
  ]) {
    one.ns.ip(wound);
    t.ok(await until(`traffic after ${wound}`, reaches), wound);
  }
  one.ns.ip('link del flannel.1', 'link add flannel.1 mtu 1234 type bridge');
  await procs[0]!.saying(/"level":"error".*flannel\.1: the name is taken by a bridge device/);
  t.match(
    one.ns.must(['ip', 'link', 'show', 'flannel.1']),
    /mtu 1234.*state DOWN/,
    'a device of another is not touched',
  );
  one.ns.ip('link del flannel.1');
  t.ok(await until('traffic again', reaches));
  t.match(procs[0]!.stderr, /the overlay device is gone: starting the data plane again/);
  for (const proc of procs) t.match(await proc.stop(), { code: 0 });
});
