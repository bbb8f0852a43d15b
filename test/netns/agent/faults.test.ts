import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { CHECKOUT } from '../../../bench/lab/tool.ts';
import { must } from '../../../src/lab/command.ts';
import { until } from '../../../src/lab/until.ts';
import { agentsFor, fileStoreFor, TestAgent } from '../../fixtures/agents/agents.ts';
import { labFor } from '../../fixtures/lab.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

const SKIP = { skip: skipUnless('root', 'netns', 'tun', 'nft') };

t.test(
  'with a node that speaks flannel’s udp backend',
  { skip: SKIP.skip || skipUnless('python3') },
  async t => {
    const lab = labFor(t);
    const store = fileStoreFor(t, { Backend: { Type: 'udp' } });
    const { agents } = agentsFor(t, lab, store.flags);
    const [one, two] = lab.nodes;
    agents[0]!.rememberSubnet();
    agents[0]!.start();
    await agents[0]!.ready(0);
    const speaker = [
      'python3',
      `${CHECKOUT}test/fixtures/agents/flannel-udp.py`,
      'flannel0',
      two!.underlay[4],
      '8285',
      `${one!.subnet[4]}=${one!.underlay[4]}`,
    ];
    await two!.ns.launch(speaker).saying(/open/);
    two!.ns.ip(
      'link set flannel0 mtu 1472 up',
      'addr add 10.244.2.0/32 dev flannel0',
      'route add 10.244.0.0/16 dev flannel0',
    );
    // Its lease as flannel's udp backend writes it: no type, no data.
    writeFileSync(
      join(store.path, 'subnets', '10.244.2.0-24'),
      '{"PublicIP":"172.31.0.2","PublicIPv6":null}',
    );
    await agents[0]!.ready(1);
    lab.podMtu(1472);
    for (const [from, to] of [
      [one, two],
      [two, one],
    ]) {
      const ping = ['ping', '-c1', '-W2', '-Mdo', '-s1444', to!.pods[0]!.address[4]];
      for (let i = 0; i < 3; i++)
        await until('a full packet', () => from!.pods[0]!.ns.attempt(ping).code === 0);
    }
    const [peer] = await agents[0]!.ask('/peers');
    t.ok(peer!.traffic!.ingress.frames >= 6);
  },
);

t.test('IPv6 alone, pods and underlay', SKIP, async t => {
  const lab = labFor(t);
  const store = fileStoreFor(t, {
    Network: undefined,
    EnableIPv4: false,
    EnableIPv6: true,
    IPv6Network: 'fd00:10:244::/48',
  });
  const { agents } = agentsFor(t, lab, [...store.flags, '--ip-masq']);
  for (const agent of agents) {
    agent.rememberSubnet();
    agent.start();
  }
  const status = await agents[0]!.ready(1);
  t.match(status.overlays, [{ device: 'flannel-v6.1', mtu: 1430, address: 'fd31::1' }]);
  t.equal(status.overlays.length, 1);
  lab.podMtu(1430);
  const [one, two] = lab.nodes;
  await until(
    'traffic',
    () =>
      one!.pods[0]!.ns.attempt(['ping', '-c1', '-W1', '-Mdo', '-s1382', two!.pods[0]!.address[6]]).code === 0,
  );
  t.match(one!.ns.must(['nft', 'list', 'ruleset']), /ip6 saddr fd00:10:244::\/48 ip6 daddr != ff00::\/8/);
});

t.test('two nodes with one public address: the second is refused until the first is gone', SKIP, async t => {
  const lab = labFor(t);
  const store = fileStoreFor(t);
  const { agents } = agentsFor(t, lab, [...store.flags, '--public-ip=10.0.2.15']);
  const [first, second] = agents;
  first!.start();
  const { lease } = await first!.ready(0);
  second!.start();
  await until('it to be refused', async () =>
    (await second!.ask('/status')).reasons.join().includes('node node1 is alive'),
  );
  t.equal((await first!.ask('/status')).ready, true);
  await first!.stop();
  t.equal((await second!.ready(0)).lease!.key, lease!.key, 'its lease is taken over');
});

t.test('disk full: not ready, with the reason; ready when there is room', SKIP, async t => {
  const lab = labFor(t);
  const store = fileStoreFor(t);
  const small = mkdtempSync(join(tmpdir(), 'rs-full-'));
  must(['mount', '-t', 'tmpfs', '-o', 'size=16k', 'tmpfs', small]);
  t.teardown(() => {
    must(['umount', '-l', small]);
    rmSync(small, { recursive: true });
  });
  const { agents } = agentsFor(t, lab, store.flags);
  const filler = join(small, 'filler');
  try {
    writeFileSync(filler, Buffer.alloc(64 << 10));
  } catch {
    // That is the point.
  }
  agents[0]!.start(`--subnet-file=${small}/subnet.env`);
  await until('the reason', async () => (await agents[0]!.ask('/status')).reasons.join().includes('ENOSPC'));
  rmSync(filler);
  await agents[0]!.ready(0);
  t.match(must(['cat', `${small}/subnet.env`]), 'FLANNEL_MTU=1450');
});

t.test('disk full under the log and the state: no packet is lost', SKIP, async t => {
  const lab = labFor(t);
  const store = fileStoreFor(t);
  const small = mkdtempSync(join(tmpdir(), 'rs-full-'));
  must(['mount', '-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', small]);
  const agent = new TestAgent(lab.nodes[0]!, small, store.flags);
  t.teardown(async () => {
    await agent.stop('SIGKILL');
    must(['umount', '-l', small]);
    rmSync(small, { recursive: true });
  });
  agent.start();
  const { pid } = await agent.ready(0);
  const filler = join(small, 'filler');
  must(['sh', '-c', `dd if=/dev/zero of=${filler} bs=1k 2>&- || true`]);
  for (let i = 0; i < 30; i++) {
    agent.signal('SIGHUP');
    await new Promise(resolve => setTimeout(resolve, 10));
  }
  const lease = join(store.path, 'subnets', '10.244.9.0-24');
  writeFileSync(
    lease,
    '{"PublicIP":"172.31.0.9","BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"0a:00:00:00:00:09"}}',
  );
  t.equal((await agent.ready(1)).pid, pid, 'a new peer is taken up by the same process');
  rmSync(filler);
  rmSync(lease);
  await agent.ready(0);
  const log = readFileSync(agent.log, 'utf8').trim().split('\n');
  await until('the state kept again', () =>
    readFileSync(join(agent.stateDir, 'last-known.json'), 'utf8').includes('"leases":[{"key"'),
  );
  t.doesNotThrow(() => JSON.parse(log.at(-1)!), 'the log continues with whole lines');
});

t.test('NET_ADMIN and NET_RAW are enough', { skip: SKIP.skip || skipUnless('setpriv') }, async t => {
  const lab = labFor(t);
  const store = fileStoreFor(t);
  const { agents } = agentsFor(t, lab, [...store.flags, '--ip-masq', '--cni=false']);
  for (const agent of agents) {
    agent.rememberSubnet();
    agent.startWith(['+net_admin', '+net_raw']);
  }
  await Promise.all(agents.map(agent => agent.ready(1)));
  const [one, two] = lab.nodes;
  await until(
    'traffic',
    () => one!.pods[0]!.ns.attempt(['ping', '-c1', '-W1', two!.pods[0]!.address[4]]).code === 0,
  );
  const { findings } = await agents[0]!.ask('/doctor');
  t.same(
    findings.filter(({ kind }) => kind !== 'bridge-netfilter-missing'),
    [],
    'the doctor works as well',
  );
  await Promise.all(agents.map(agent => agent.stop()));
  t.notMatch(readFileSync(agents[0]!.log, 'utf8'), /"level":"(error|fatal)"|EPERM|EACCES/);
});
