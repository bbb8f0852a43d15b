import {
  chmodSync,
  chownSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import t, { type Test } from 'tap';
import { CHECKOUT } from '../../../bench/lab/tool.ts';
import { requestTrace } from '../../../src/api/client.ts';
import { requestOf, showTrace } from '../../../src/cli/commands/packets/trace-run.ts';
import { traceFrom } from '../../../src/cli/commands/report/report-file.ts';
import { openReport } from '../../../src/diagnose/report/bundle.ts';
import { readTar } from '../../../src/diagnose/report/tar.ts';
import { attempt, must } from '../../../src/lab/command.ts';
import type { Node } from '../../../src/lab/topology.ts';
import { until } from '../../../src/lab/until.ts';
import { agentsFor, fileStoreFor } from '../../fixtures/agents/agents.ts';
import { MAIN } from '../../fixtures/agents/run-node.ts';
import { watchedNodes } from '../../fixtures/agents/watched-nodes.ts';
import { readOutput } from '../../fixtures/json-output.ts';
import { labFor } from '../../fixtures/lab.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';
import { Transcript } from '../../fixtures/transcript.ts';

/* `ripstop report` on nodes with traffic, and its archives read by a user without rights, elsewhere. */

const skip = skipUnless('root', 'netns', 'tun', 'ip', 'ping', 'setpriv', 'unshare', 'tar', 'nft');
const SECRET = 'S3CRET-hunter2';
const NOBODY_ID = 65_534;
const NOBODY = [
  ...['setpriv', `--reuid=${NOBODY_ID}`, `--regid=${NOBODY_ID}`, '--clear-groups', '--no-new-privs'],
];

/** Rules of another program with texts that are none of a report's business. */
const NFT = `table inet other {
  comment "${SECRET}"
  chain forward {
    type filter hook forward priority 5; policy accept; comment "${SECRET}";
    log prefix "${SECRET}" tcp dport 2222 drop comment "${SECRET}"
  }
}`;

/** A copy of the program without its addon, and how a user without rights and network runs it there. */
function strangerIn(t: Test) {
  const folder = mkdtempSync(join(tmpdir(), 'rs-report-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  chmodSync(folder, 0o755);
  for (const part of ['dist/src', 'dist/encap'])
    cpSync(CHECKOUT + part, join(folder, part), { recursive: true });
  cpSync(`${CHECKOUT}package.json`, join(folder, 'package.json'));
  symlinkSync(`${CHECKOUT}node_modules`, join(folder, 'node_modules'));
  const run = (...args: string[]) =>
    attempt(['unshare', '--net', ...NOBODY, process.execPath, join(folder, 'dist/src/cli/main.js'), ...args]);
  return { folder, run };
}

/** Output for people without the line about its origin, and without the states of neighbours, which change with time. */
function comparable(text: string): string {
  return text
    .replace(/^(from the report .*\n)+/, '')
    .replaceAll(/--peer-(socket|from) with the (socket|report)/g, 'PEER')
    .replaceAll(/\b(reachable|stale|delay|probe)\b/g, 'STATE')
    .replaceAll(/\s+/g, ' ');
}

t.test('two agents with traffic: status and traces of a report are those of the node', { skip }, async t => {
  const lab = labFor(t);
  lab.condition('wire');
  const store = fileStoreFor(t, { EnableIPv6: true, IPv6Network: 'fd00:10:244::/48' });
  const { agents } = agentsFor(t, lab, store.flags);
  const [one, two] = lab.nodes as [Node, Node];
  const [from, to] = [one.pods[0]!.address[4], two.pods[0]!.address[4]];
  const [from6, to6] = [one.pods[0]!.address[6], two.pods[0]!.address[6]];
  // In every place that can hold a text of anyone.
  one.ns.ip(`link set eth0 alias ${SECRET}`);
  one.ns.must(['nft', '-f', '-'], NFT);
  for (const agent of agents) {
    agent.rememberSubnet();
    agent.startBehind(['env', `ETCD_PASSWORD=${SECRET}`], '--ip-masq');
  }
  await Promise.all(agents.map(agent => agent.ready(1)));
  const pod = one.pods[0]!.ns;
  await until('traffic', () => pod.attempt(['ping', '-c', '1', '-W', '1', to]).code === 0);
  await until('IPv6', () => pod.attempt(['ping', '-c', '1', '-W', '1', to6]).code === 0);
  pod.must(['ping', '-c', '1', two.underlay[4]]);

  const { folder, run } = strangerIn(t);
  const archiveOf = (node: Node) => join(folder, `node${node.index}.tar.gz`);
  const live = (node: Node, command: string, ...args: string[]) =>
    node.ns.attempt([process.execPath, MAIN, command, '--socket', agents[node.index - 1]!.socket, ...args]);
  const report = (node: Node, ...args: string[]) => {
    const made = live(node, 'report', '--duration', '1', '-f', archiveOf(node), ...args);
    t.equal(made.code, 0, made.stderr);
    t.equal(statSync(archiveOf(node)).mode & 0o777, 0o600);
    chownSync(archiveOf(node), NOBODY_ID, NOBODY_ID);
    return made.stdout;
  };
  const made = report(one, '--json');
  report(two);
  const { missing } = readOutput('ripstop-report/1', made);
  t.same(missing, []);
  t.ok(must(['tar', '-tzf', archiveOf(one)]).includes('kernel/firewall.json'));
  for (const node of [one, two])
    for (const [name, content] of readTar(gunzipSync(readFileSync(archiveOf(node)))))
      t.notMatch(Buffer.from(content).toString(), /S3CRET|hunter2/, name);

  const status = (text: string) => {
    const { overlays, lease, ...rest } = readOutput('ripstop-status/1', text);
    // Lag and frames change between the two commands.
    const still = overlays.map(({ queues, ...one }) => ({ ...one, workerLagMs: 0, queues: queues?.length }));
    return { ...rest, lease: lease?.subnets, overlays: still };
  };
  const read = run('status', '--from', archiveOf(one), '--json');
  t.equal(read.code, 0, read.stderr);
  t.match(read.stderr, /^from the report \S+ of 20\S+Z \(ripstop /);
  t.same(status(read.stdout), status(live(one, 'status', '--json').stdout));
  t.match(run('status', '--from', archiveOf(one)).stdout, /^from the report .*\nnode +node1 /);

  /** The same trace by the commands, at the agents and in the reports of both nodes. */
  const sameShown = (what: string, expected: RegExp, ...args: string[]) => {
    const now = live(one, 'trace', ...args, '--peer-socket', agents[1]!.socket);
    const then = run('trace', ...args, '--from', archiveOf(one), '--peer-from', archiveOf(two));
    t.equal(comparable(then.stdout), comparable(now.stdout), `${what}\n${then.stderr}`);
    t.match(comparable(then.stdout), expected, what);
    t.equal(then.code, now.code, what);
  };
  /** The same trace at the agent and in the report of the first node, in this process. */
  const same = async (
    what: string,
    expected: RegExp,
    dst: string,
    more: { src?: string; size?: number; dport?: number } = {},
  ) => {
    const { socket } = agents[0]!;
    const request = requestOf({ src: from, dst, socket, ...more });
    const now = await requestTrace(socket, request);
    const then = await traceFrom(openReport(archiveOf(one)), request);
    t.equal(comparable(showTrace([then])), comparable(showTrace([now])), what);
    t.match(comparable(showTrace([then])), expected, what);
  };
  const ends = ['--src', from, '--dst', to];
  sameShown('to a pod of the other node', /verdict: delivered to 10\.244\.2\.2/, ...ends, '--dport', '80');
  sameShown('back', /verdict: delivered to 10\.244\.1\.2/, '--src', to, '--dst', from, '--sport', '80');
  await same('an echo', /: ICMP.* verdict: /, to);
  await same('a packet that is too long', /the MTU of flannel\.1 is 1450/, to, { size: 1500 });
  await same('a host outside', /leaves as 172\.31\.0\.1 .*outside the overlay/, two.underlay[4]);
  await same('the node itself', /delivered to this node itself/, one.underlay[4]);
  await same('from the node to a pod', /an address of this node.*node2/, to, { src: one.underlay[4] });
  await same('no node', /there is no route to 10\.244\.77\.7/, '10.244.77.7');
  await same('a rule of another program', /dropped by a rule of another program/, to, { dport: 2222 });

  await same('IPv6', /flannel-v6\.1.* sent to node2 in UDP/, to6, { src: from6, dport: 80 });
  await same('IPv6, from a peer', /verdict: (delivered|not known)/, from6, { src: to6 });
  await same('IPv6, no node', /there is no route to fd00:10:244:77::7/, 'fd00:10:244:77::7', { src: from6 });

  // Faults of the kernel's routing, each on the way of other packets.
  one.ns.ip(
    'route add 198.51.100.0/24 via 172.31.0.2 table 100',
    'route add blackhole 10.244.2.66 table 100',
    'route add prohibit 10.244.2.67',
    'rule add iif cni0 to 10.244.2.66 lookup 100 pref 90',
    `rule add from ${from} to 198.51.100.0/24 lookup 100 pref 91`,
    'rule add to 10.244.2.68 prohibit pref 92',
    'route add blackhole fd00:10:244:2::66',
    'route change 172.31.0.0/24 dev eth0 proto kernel src 172.31.0.1 mtu 1400',
  );
  one.ns.must(['ip', '-6', 'rule', 'add', 'to', 'fd00:10:244:2::67', 'prohibit', 'pref', '93']);
  one.ns.sysctl('net.ipv4.conf.flannel/1.rp_filter=1');
  one.ns.ip('route add 10.244.2.77 via 172.31.0.2');
  report(one);
  await same('a rule for a source', /198\.51\.100\.9 via 172\.31\.0\.2 dev eth0/, '198.51.100.9');
  await same('a table with a blackhole', /the kernel refuses|blackhole|dev flannel\.1/, '10.244.2.66');
  await same('a prohibiting route', /a prohibit route or rule matches/, '10.244.2.67');
  await same('a prohibiting rule', /a prohibit route or rule matches/, '10.244.2.68');
  await same('IPv6, a blackhole', /verdict: lost/, 'fd00:10:244:2::66', { src: from6 });
  await same('IPv6, a prohibiting rule', /verdict: lost/, 'fd00:10:244:2::67', { src: from6 });
  await same('the MTU of a route', /underlay .*1430 bytes, the MTU is 1400/, to, { size: 1380 });
  await same('the reverse path filter', /reverse path filter on flannel\.1/, from, { src: '10.244.2.77' });

  report(one, '--pseudonyms');
  const originals = [
    from,
    to,
    one.underlay[4],
    two.underlay[4],
    'node1',
    'node2',
    '10.244.2.77',
    '198.51.100',
  ];
  originals.push(...must(['ip', '-n', one.ns.name, '-o', 'link']).match(/(?<=link\/ether )\S+/g)!);
  for (const [name, content] of readTar(gunzipSync(readFileSync(archiveOf(one)))))
    for (const original of originals)
      t.notOk(Buffer.from(content).toString().includes(original), `${original} in ${name}`);
  const [peer] = readOutput('ripstop-peers/1', run('peers', '--from', archiveOf(one), '--json').stdout).peers;
  const remote = peer!.subnets[0]!.replace(/0\/24$/, '2');
  const local = status(run('status', '--from', archiveOf(one), '--json').stdout).lease![0]!.replace(
    /0\/24$/,
    '2',
  );
  const hidden = run('trace', '--from', archiveOf(one), '--src', local, '--dst', remote, '--dport', '80');
  t.match(hidden.stdout, new RegExp(`sent to ${peer!.node} in UDP`), hidden.stderr);
});

t.test('ripstop run: a replay with a report is that with the configuration', { skip }, async t => {
  const nodes = await watchedNodes(t, { mode: 'vxlan', networks: ['10.244.0.0/16'] });
  const { one, two, folder, ripstop } = nodes;
  const [pod, to] = [one.pods[0]!.ns, two.pods[0]!.address[4]];
  const capture = ripstop(one, 'capture', '-c', '8', '-w', `${folder}/c.pcapng`);
  await capture.saying(/capturing/);
  await until('the packets', () => {
    pod.attempt(['ping', '-c', '2', '-i', '0.2', '-W', '1', to]);
    return capture.result !== undefined;
  });
  const made = ripstop(one, 'report', '--duration', '1', '-f', `${folder}/r.tar.gz`);
  await made.success();
  const stranger = strangerIn(t);
  for (const file of ['c.pcapng', 'r.tar.gz']) {
    cpSync(join(folder, file), join(stranger.folder, file));
    chownSync(join(stranger.folder, file), NOBODY_ID, NOBODY_ID);
  }
  const from = stranger.run(
    ...['replay', join(stranger.folder, 'c.pcapng'), '--from', join(stranger.folder, 'r.tar.gz'), '--json'],
  );
  const config = must([
    process.execPath,
    MAIN,
    'replay',
    `${folder}/c.pcapng`,
    '-c',
    `${folder}/node1.yaml`,
    '--json',
  ]);
  t.equal(from.code, 0, from.stderr);
  t.equal(from.stdout, config);
  t.match(from.stdout, /"verdict":"forward"/);
  t.match(from.stderr, /^from the report /);
});

t.test('what cannot be had is named with its reason, and the rest is written', { skip }, async t => {
  const lab = labFor(t);
  const { agents, root } = agentsFor(t, lab, fileStoreFor(t).flags);
  const [agent] = agents;
  const [node] = lab.nodes as [Node, Node];
  agent!.rememberSubnet();
  agent!.start();
  await agent!.ready(0);
  const folder = join(root, 'reports');
  mkdirSync(folder, { mode: 0o777 });
  chmodSync(folder, 0o777);
  chmodSync(root, 0o755);
  const argv = (file: string, ...more: string[]) => [
    process.execPath,
    MAIN,
    'report',
    '--socket',
    agent!.socket,
    '-f',
    join(folder, file),
    '--duration',
    '1',
    ...more,
  ];

  chmodSync(agent!.stateDir, 0o755);
  const plain = node.ns.attempt([...NOBODY, ...argv('nobody.tar.gz')]);
  t.equal(plain.code, 0, plain.stderr);
  t.match(plain.stdout, /agent\/status\.json: no permission to use .*; use sudo/);
  t.match(plain.stdout, /kernel\/firewall\.json: .*(permi|CAP_NET_ADMIN)/i);
  t.ok(must(['tar', '-tzf', join(folder, 'nobody.tar.gz')]).includes('kernel/routes.json'));

  const bare = node.ns.attempt(['env', 'PATH=/nowhere', ...argv('bare.tar.gz')]);
  t.match(bare.stdout, /kernel\/offloads\.json: ethtool: is not installed; install the package/);

  agent!.signal('SIGSTOP');
  const hung = node.ns.launch(argv('hung.tar.gz'));
  await hung.success();
  agent!.signal('SIGCONT');
  t.match(hung.stdout, /agent\/status\.json: \S+agent\.sock: no answer within 10 s/);
  t.match(hung.stdout, /agent\/doctor\.json: \S+agent\.sock: no answer within 10 s/);
  t.ok(must(['tar', '-tzf', join(folder, 'hung.tar.gz')]).includes('kernel/links.json'));

  const before = readdirSync(folder);
  const stopped = node.ns.launch([...argv('stopped.tar.gz'), '--duration', '60']);
  await stopped.saying(/collecting/);
  await until('the first answers', () => stopped.stderr.includes('collecting'));
  t.match(await stopped.stop('SIGINT'), { code: 130 });
  t.match(stopped.stderr, /stopped, nothing was written/);
  t.same(readdirSync(folder), before);

  const full = [
    'unshare',
    '--mount',
    'sh',
    '-c',
    'mount -t tmpfs -o size=4k none "$0" && "$@"; ls -A "$0"',
    folder,
  ];
  const disk = node.ns.attempt([...full, ...argv('full.tar.gz')]);
  t.match(disk.stderr, /full\.tar\.gz: the disk is full: the report has \d+ bytes/);
  t.equal(disk.stdout, '');
});

t.test('the page shows a report as it is', { skip }, async t => {
  const { one, two, folder, ripstop } = await watchedNodes(t, { mode: 'vxlan', networks: ['10.244.0.0/16'] });
  const to = two.pods[0]!.address[4];
  await until('traffic', () => one.pods[0]!.ns.attempt(['ping', '-c', '1', '-W', '1', to]).code === 0);
  const page = new Transcript('docs/guides/debug/report.md');
  const file = `${folder}/r.tar.gz`;
  const made = ripstop(one, 'report', '--duration', '1', '-f', file);
  await made.success();
  const shown = (text: string) =>
    text.replaceAll(folder, '/tmp').replaceAll(/ripstop [^)\s]+\)/g, 'ripstop 0.1.0)');
  page.hold(t, 'report', shown(`# ripstop report -f r.tar.gz\n${made.stdout}`));
  const { run, folder: elsewhere } = strangerIn(t);
  cpSync(file, join(elsewhere, 'r.tar.gz'));
  chownSync(join(elsewhere, 'r.tar.gz'), NOBODY_ID, NOBODY_ID);
  const args = ['--src', one.pods[0]!.address[4], '--dst', to, '--dport', '80'];
  const traced = run('trace', '--from', join(elsewhere, 'r.tar.gz'), ...args);
  page.hold(
    t,
    'trace-from',
    shown(
      `$ ripstop trace --from r.tar.gz ${args.join(' ')}\n${traced.stdout.replaceAll(elsewhere, '/tmp')}`,
    ),
  );
});
