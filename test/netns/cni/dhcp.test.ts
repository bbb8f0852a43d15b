import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { installCni } from '../../../src/cni/install.ts';
import { DhcpDaemon } from '../../../src/cni/ipam/dhcp/daemon.ts';
import { ALL_VERSIONS, isAtLeast } from '../../../src/cni/skel/version.ts';
import { until } from '../../../src/lab/until.ts';
import { CniNode } from '../../fixtures/cni/cni.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

const skip = skipUnless('root', 'netns', 'ip', 'dnsmasq');

/** A node whose bridge leads to a DHCP server of Debian's dnsmasq. */
async function setUp(t: Test, options: string[] = ['--no-ping'], requestMs = 60_000) {
  const lab = new CniNode(t);
  // A host of its own: a node that had the address would answer for it by the bridge's MAC as well.
  const lan = lab.pod(t);
  lab.node.ip(
    'link add lan type bridge',
    'link set lan up',
    `link add d0 type veth peer name d1 netns ${lan.name}`,
    'link set d0 master lan up',
  );
  lan.ip('link set d1 up', 'addr add 10.5.0.1/24 dev d1');
  const leases = `${lab.scratch}/dnsmasq.leases`;
  const server = lan.launch([
    'dnsmasq',
    '--no-daemon',
    '--conf-file=/dev/null',
    '--port=0',
    '--interface=d1',
    '--bind-interfaces',
    '--dhcp-range=10.5.0.10,10.5.0.250,255.255.255.0,2m',
    '--log-dhcp',
    '--user=root',
    `--dhcp-leasefile=${leases}`,
    '--pid-file=',
    ...options,
  ]);
  t.teardown(() => server.stop());
  await server.saying(/DHCP, IP range/);
  const socket = `${lab.scratch}/dhcp.sock`;
  const stateDir = `${lab.scratch}/leases`;
  const log: string[] = [];
  const daemon = () =>
    new DhcpDaemon({
      socket,
      stateDir,
      limits: { requestMs, longestDelayMs: 62_000, wholeMs: 120_000 },
      log: line => void log.push(line),
      now: Date.now,
    });
  const config = (cniVersion: string, ipam: object = {}) => ({
    cniVersion,
    name: 'lan',
    type: 'bridge',
    bridge: 'lan',
    ipam: { type: 'dhcp', daemonSocketPath: socket, ...ipam },
  });
  const held = () =>
    readFileSync(leases, 'utf8')
      .split('\n')
      .filter(line => line !== '');
  const stored = () => readdirSync(stateDir).filter(name => name.endsWith('.json'));
  return { lab, lan, server, socket, stateDir, daemon, config, held, stored, log };
}

t.test('in every version, with routes and resolver', { skip }, async t => {
  const { lab, server, daemon, config, held, stored } = await setUp(t, [
    '--no-ping',
    '--dhcp-option=option:router,10.5.0.1',
    '--dhcp-option=option:dns-server,10.5.0.2',
    '--dhcp-option=option:domain-name,example.test',
  ]);
  const running = daemon();
  await running.start();
  t.teardown(() => running.stop());
  for (const version of ALL_VERSIONS) {
    const pod = lab.pod(t);
    const network = config(version);
    const add = await lab.call('ADD', network, { pod });
    t.equal(add.status, 0, `${version} ${add.status ? add.text : ''}`);
    const [address, dns] = isAtLeast(version, '0.3.0')
      ? [add.json.ips[0].address, add.json.dns]
      : [add.json.ip4.ip, add.json.dns];
    t.match(address, /^10\.5\.0\.\d+\/24$/);
    t.match(dns, { nameservers: ['10.5.0.2'], domain: 'example.test' });
    t.match(pod.ip('route show'), /default via 10\.5\.0\.1/);
    pod.must(['ping', '-c1', '-W10', '10.5.0.1']);
    t.match(held().join(), address.split('/')[0]);
    t.equal(stored().length, 1);
    if (isAtLeast(version, '0.4.0')) {
      t.equal((await lab.call('CHECK', { ...network, prevResult: add.json }, { pod })).text, '');
    }
    if (version === '1.1.0') {
      t.equal((await lab.call('STATUS', network)).text, '');
      t.equal(
        (
          await lab.call('GC', {
            ...network,
            'cni.dev/valid-attachments': [{ containerID: 'c1', ifname: 'eth0' }],
          })
        ).text,
        '',
      );
      t.equal(stored().length, 1);
    }
    for (let round = 0; round < 2; round++) t.equal((await lab.call('DEL', network, { pod })).text, '');
    t.strictSame(stored(), []);
    pod.remove();
  }
  t.match(server.stderr, /DHCPDISCOVER/);
});

t.test('two interfaces, options sent, classless routes, an address given back', { skip }, async t => {
  const { lab, server, daemon, config, held } = await setUp(t, [
    '--no-ping',
    '--dhcp-option=option:router,10.5.0.1',
    '--dhcp-option=option:classless-static-route,10.77.0.0/16,10.5.0.3',
  ]);
  const running = daemon();
  await running.start();
  t.teardown(() => running.stop());
  const pod = lab.pod(t);
  const network = config('1.0.0', {
    priority: 40,
    provide: [{ option: 'host-name', fromArg: 'K8S_POD_NAME' }],
  });
  const first = await lab.call('ADD', network, { pod, args: 'K8S_POD_NAME=web-1' });
  const second = await lab.call('ADD', network, { pod, ifname: 'net1', args: 'K8S_POD_NAME=web-2' });
  t.strictSame(first.json.routes, [{ dst: '10.77.0.0/16', gw: '10.5.0.3' }], 'in place of the router');
  t.match(pod.ip('route show'), /10\.77\.0\.0\/16 via 10\.5\.0\.3 dev eth0 metric 40/);
  t.not(first.json.ips[0].address, second.json.ips[0].address);
  t.match(held().join(), /web-1/);
  t.equal(held().length, 2);
  t.equal((await lab.call('DEL', network, { pod, args: 'K8S_POD_NAME=web-1' })).status, 0);
  await until('the server has its address back', () => held().length === 1);
  t.match(server.stderr, /DHCPRELEASE/);
  t.equal(
    (
      await lab.call('GC', {
        ...network,
        cniVersion: '1.1.0',
        provide: [],
        ipam: { ...network.ipam, provide: [] },
        'cni.dev/valid-attachments': [],
      })
    ).text,
    '',
  );
  await until('GC gives the rest back', () => held().length === 0);
});

t.test(
  'a server that looks for 3 s whether the address is in use, with 1 s per request (B11)',
  { skip },
  async t => {
    const { lab, server, daemon, config } = await setUp(t, [], 1000);
    const running = daemon();
    await running.start();
    t.teardown(() => running.stop());
    const pod = lab.pod(t);
    const { json } = await lab.call('ADD', config('1.0.0'), { pod });
    t.match(json, { ips: [{ address: /^10\.5\.0\.\d+\/24$/ }] });
    t.ok(server.stderr.match(/DHCPDISCOVER/g)!.length >= 1);
  },
);

t.test('DEL while no server answers: the ADD ends', { skip }, async t => {
  const { lab, server, daemon, config, stateDir } = await setUp(t);
  await server.stop();
  const running = daemon();
  await running.start();
  t.teardown(() => running.stop());
  const pod = lab.pod(t);
  const network = config('1.0.0');
  const add = lab.call('ADD', network, { pod });
  await until('the interface is up', () => /eth0.*state UP/.test(pod.ip('link show')));
  const ipam = { ...network, type: 'dhcp' };
  const ended = add.then(({ json }) => json);
  await until('the search ends', async () => {
    await lab.call('DEL', ipam, { pod });
    return Promise.race([ended.then(() => true), sleep(50).then(() => false)]);
  });
  t.match(await ended, { code: 11, msg: 'the attachment was deleted meanwhile' });
  t.notOk(existsSync(stateDir), 'no lease');
});

t.test('daemon that is restarted while a pod runs: the lease is extended', { skip }, async t => {
  const { lab, server, daemon, config, stored, socket } = await setUp(t, [
    '--no-ping',
    '--dhcp-option=58,2',
    '--dhcp-option=59,3',
  ]);
  const network = config('1.1.0');
  const before = daemon();
  await before.start();
  const pod = lab.pod(t);
  const { json: prevResult } = await lab.call('ADD', network, { pod });
  await before.stop();
  t.equal(stored().length, 1, 'its lease is on disk');
  t.match((await lab.call('STATUS', network)).json, { code: 50, msg: new RegExp(`daemon on ${socket}`) });
  t.match((await lab.call('ADD', network, { pod: lab.pod(t), id: 'c2' })).json, {
    code: 11,
    msg: /error dialing DHCP daemon/,
  });
  const acknowledged = () => server.stderr.match(/DHCPACK/g)?.length ?? 0;
  const count = acknowledged();
  const after = daemon();
  await after.start();
  t.teardown(() => after.stop());
  await until('the new daemon extends the lease', () => acknowledged() > count);
  t.equal((await lab.call('CHECK', { ...network, prevResult }, { pod })).text, '');
  const extended = acknowledged();
  await until('and again', () => acknowledged() > extended);
  pod.ip('link del eth0');
  await until('a lease whose interface is gone is dropped', () => stored().length === 0);
  t.equal((await lab.call('DEL', network, { pod })).text, '');
});

t.test('an address that the server takes away is not used any more', { skip }, async t => {
  const { lab, lan, server, daemon, config, stored, log } = await setUp(t, [
    '--no-ping',
    '--dhcp-option=58,2',
    '--dhcp-option=59,3',
  ]);
  const running = daemon();
  await running.start();
  t.teardown(() => running.stop());
  const pod = lab.pod(t);
  const { status } = await lab.call('ADD', config('1.0.0'), { pod });
  t.equal(status, 0);
  await server.stop();
  const other = lan.launch([
    'dnsmasq',
    '--no-daemon',
    '--conf-file=/dev/null',
    '--port=0',
    '--interface=d1',
    '--bind-interfaces',
    '--dhcp-authoritative',
    '--dhcp-range=10.5.0.251,10.5.0.252,255.255.255.0,2m',
    '--no-ping',
    '--user=root',
    `--dhcp-leasefile=${lab.scratch}/other`,
    '--pid-file=',
  ]);
  t.teardown(() => other.stop());
  await until('the interface is set down', () => /state DOWN/.test(pod.ip('link show eth0')));
  t.match(log.join('\n'), /the server refuses it; eth0 is set down/);
  t.strictSame(stored(), []);
});

t.test('the daemon as an executable, and no server at all', { skip }, async t => {
  const { lab, server, config, socket, stateDir } = await setUp(t);
  await server.stop();
  const binDir = `${lab.scratch}/opt`;
  installCni({ binDir, names: ['dhcp'], socket: `${lab.scratch}/no-agent`, standalone: true });
  const daemon = lab.node.launch([
    `${binDir}/dhcp`,
    'daemon',
    '--socketpath',
    socket,
    `--statedir=${stateDir}`,
    '-timeout',
    '1s',
    '-resendtimeout',
    '2s',
  ]);
  await daemon.saying(/ready/);
  const pod = lab.pod(t);
  t.match((await lab.call('ADD', config('1.0.0'), { pod })).json, {
    code: 11,
    msg: 'error calling DHCP.Allocate: no more tries',
    details: 'no DHCP server has given an address within 2000 ms',
  });
  t.notMatch(pod.ip('link show'), /eth0/, 'the bridge has taken its interface back');
  t.match(
    (await lab.call('ADD', config('1.0.0', { provide: [{ option: 'x', value: 'y' }] }), { pod })).json,
    { code: 7 },
  );
  await daemon.stop();
});
