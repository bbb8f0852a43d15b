import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import type { Status } from '../../../src/api/answers.ts';
import type { Node } from '../../../src/lab/topology.ts';
import { until } from '../../../src/lab/until.ts';
import { agentsFor, fileStoreFor, type TestAgent } from '../../fixtures/agents/agents.ts';
import { PingStream } from '../../fixtures/agents/ping-stream.ts';
import { labFor } from '../../fixtures/lab.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

const SKIP = { skip: skipUnless('root', 'netns', 'tun', 'nft') };
const LEGACY = { skip: SKIP.skip || skipUnless('iptables-legacy', 'iptables-legacy-restore', 'flock') };

const statusOf = (agent: TestAgent): Promise<Status> => agent.ask('/status');
const reaches = (from: Node, to: Node): boolean =>
  from.pods[0]!.ns.attempt(['ping', '-c1', '-W1', to.pods[0]!.address[4]]).code === 0;

/** A directory for PATH with programs of the test; removed with it. */
function programs(t: { teardown(undo: () => void): void }, scripts: Record<string, string>): string {
  const directory = mkdtempSync(join(tmpdir(), 'rs-path-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  for (const [name, text] of Object.entries(scripts)) {
    writeFileSync(join(directory, name), `#!/bin/sh\n${text.replaceAll('HERE', directory)}\n`);
    chmodSync(join(directory, name), 0o755);
  }
  return directory;
}

async function twoNodes(t: Parameters<typeof labFor>[0] & Parameters<typeof agentsFor>[0]) {
  const lab = labFor(t);
  const store = fileStoreFor(t);
  const { agents, root } = agentsFor(t, lab, [...store.flags, '--ip-masq']);
  for (const agent of agents) agent.rememberSubnet();
  const [one, two] = lab.nodes as [Node, Node];
  return { one, two, agent: agents[0]!, other: agents[1]!, root };
}

t.test('another program holds the xtables lock (A18): packets flow, the reason is named', LEGACY, async t => {
  const { one, two, agent, other } = await twoNodes(t);
  const scripts = Object.fromEntries(
    ['iptables', 'ip6tables'].flatMap(name =>
      ['', '-save', '-restore'].map(tail => [
        `${name}${tail}`,
        `XTABLES_LOCKFILE=HERE/lock exec ${name}-legacy${tail} "$@"`,
      ]),
    ),
  );
  const path = programs(t, scripts);
  const holder = one.ns.launch(['flock', '--no-fork', join(path, 'lock'), 'sleep', '1000']);
  agent.startBehind(['env', `PATH=${path}:${process.env.PATH}`], '--traffic-manager=iptables');
  other.start();
  await other.ready(1);
  await until('traffic', () => reaches(one, two) && reaches(two, one));
  const stream = new PingStream(one, two, 20);
  await until('the reason', async () =>
    /rules: .*(xtables lock|lock: Resource)/.test((await statusOf(agent)).reasons.join()),
  );
  // The overlay is also "being started" until the rules were tried once.
  const { findings } = await agent.ask('/doctor');
  t.match(
    findings.find(({ what }) => what.includes('rules: ')),
    { kind: 'not-ready', severity: 'fault', what: /rules: .*(xtables lock|lock: Resource)/ },
    'the doctor names it',
  );
  t.match((await statusOf(agent)).failing, [{ part: 'rules', reason: /lock/ }]);
  await holder.stop();
  const { networkStarts } = await agent.ready(1);
  t.equal(networkStarts, 1, 'one session all the time');
  const { sent, missing } = await stream.end();
  t.same(missing, [], `of ${sent} pings`);
  t.match(one.ns.must(['iptables-legacy-save', '-t', 'nat']), 'RIPSTOP');
});

t.test(
  'no rules and no subnet.env after a restart (A18): packets flow until both can be written',
  SKIP,
  async t => {
    const { one, two, agent, other, root } = await twoNodes(t);
    agent.start();
    other.start();
    await Promise.all([agent.ready(1), other.ready(1)]);
    await until('traffic', () => reaches(one, two) && reaches(two, one));
    await agent.stop('SIGKILL');

    const path = programs(t, {
      nft: 'test -e HERE/works && exec /usr/sbin/nft "$@"\necho no nft today >&2; exit 1',
    });
    const blocked = join(root, 'blocked');
    writeFileSync(blocked, '');
    const file = join(blocked, 'subnet.env');
    const env = ['env', 'RIPSTOP_NFT=program', `PATH=${path}:${process.env.PATH}`];
    agent.startBehind(env, `--subnet-file=${file}`);
    await until('the reasons', async () => {
      const reasons = (await statusOf(agent)).reasons.join();
      return /rules: .*no nft today/.test(reasons) && /subnet\.env: .*(ENOTDIR|EEXIST)/.test(reasons);
    });
    const stream = new PingStream(one, two, 20);
    await until('pings over several comparisons', () => stream.reached >= 200);
    const parts = (await statusOf(agent)).failing.map(({ part }) => part);
    t.same(parts.sort(), ['rules', 'subnet.env']);

    rmSync(blocked);
    mkdirSync(blocked);
    await until('subnet.env', () => readFileSync(file, 'utf8').includes('FLANNEL_MTU=1450'));
    t.match((await statusOf(agent)).reasons, [/^rules: /], 'the rules still fail');
    writeFileSync(join(path, 'works'), '');
    const { networkStarts, failing } = await agent.ready(1);
    t.same(failing, []);
    t.equal(networkStarts, 1);
    const { sent, missing } = await stream.end();
    t.same(missing, [], `of ${sent} pings`);
  },
);

t.test('nothing can be written to the state directory: the overlay starts', SKIP, async t => {
  const { one, two, agent, other } = await twoNodes(t);
  // A directory in the place of each file that is written there.
  for (const name of ['vtep.json', 'last-known.json', 'devices.json']) mkdirSync(join(agent.stateDir, name));
  agent.start();
  other.start();
  await Promise.all([agent.ready(1), other.ready(1)]);
  await until('traffic', () => reaches(one, two) && reaches(two, one));
  const log = readFileSync(agent.log, 'utf8');
  t.match(log, /cannot save the MAC addresses for a restart/);
  t.match(log, /cannot save the names of devices for a restart/);
});
