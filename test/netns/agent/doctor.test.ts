import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { CHECKOUT } from '../../../bench/lab/tool.ts';
import type { Finding } from '../../../src/diagnose/doctor/finding.ts';
import { PATIENCE_MS, until } from '../../../src/lab/until.ts';
import { agentsFor, fileStoreFor, type TestAgent } from '../../fixtures/agents/agents.ts';
import { FlannelNode } from '../../fixtures/agents/flannel-node.ts';
import { allAtOnce } from '../../fixtures/agents/overlay.ts';
import { holdWorker } from '../../fixtures/io/hold-workers.ts';
import { readOutput } from '../../fixtures/json-output.ts';
import { labFor } from '../../fixtures/lab.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

/** What `ripstop doctor` on a node says. */
function doctor(agent: TestAgent): { findings: readonly Finding[]; code: number } {
  const command = [
    process.execPath,
    `${CHECKOUT}dist/src/cli/main.js`,
    'doctor',
    '--socket',
    agent.socket,
    '--json',
  ];
  const { stdout, stderr, code } = agent.node.ns.attempt(command);
  if (!stdout) throw new Error(stderr);
  return { findings: readOutput('ripstop-doctor/1', stdout).findings, code };
}

const ofKind = (findings: readonly Finding[], kind: Finding['kind']) =>
  findings.filter(finding => finding.kind === kind);
/** br_netfilter and busy processors are the machine's affair, not the lab's. */
const faults = (findings: readonly Finding[]) =>
  findings.filter(({ kind }) => kind !== 'bridge-netfilter-missing' && kind !== 'cpu-starved');

/** A program that sends one VXLAN datagram whose inner TCP checksum was left to a device that never came. */
function sendUnfinished(to: string, from: string, underlay: string): string {
  const hex = (mac: string) => mac.replaceAll(':', '');
  const ip = '450000290000400040060000' + '0af40202' + '0af40102';
  const tcp = '30391f9000000001000000005010020000000000' + '78';
  return `
    const ip = Buffer.from('${ip}', 'hex');
    let sum = 0;
    for (let i = 0; i < 20; i += 2) sum += ip.readUInt16BE(i);
    ip.writeUInt16BE(~((sum & 0xffff) + (sum >> 16)) & 0xffff, 10);
    const tcp = Buffer.from('${tcp}', 'hex');
    let pseudo = 6 + tcp.length;
    for (let i = 12; i < 20; i += 2) pseudo += ip.readUInt16BE(i);
    tcp.writeUInt16BE((pseudo & 0xffff) + (pseudo >> 16), 16);
    const head = Buffer.from('0800000000000100' + '${hex(to)}${hex(from)}0800', 'hex');
    const socket = require('dgram').createSocket('udp4');
    socket.send(Buffer.concat([head, ip, tcp]), 8472, '${underlay}', () => socket.close());
  `;
}

t.test(
  'every fault is reported by its name, with a remedy',
  { skip: skipUnless('root', 'netns', 'tun', 'nft', 'iptables', 'ethtool', 'cc') },
  async t => {
    const lab = labFor(t, { nodes: 3 });
    const store = fileStoreFor(t);
    const { agents } = agentsFor(t, lab, [
      ...store.flags,
      '--ip-masq',
      '--partial-checksums=refuse',
      '--threads-per-queue=two',
    ]);
    for (const agent of agents) {
      agent.rememberSubnet();
      agent.start();
    }
    await Promise.all(agents.map(agent => agent.ready(2)));
    const [one, two] = lab.nodes;
    const agent = agents[0]!;

    const well = doctor(agent);
    t.same(faults(well.findings), [], 'nothing is wrong');
    t.equal(well.code, 0);

    await t.test('port filtered', async t => {
      two!.ns.must(
        ['nft', '-f', '-'],
        'table inet block {\n chain in {\n type filter hook input priority 0\n udp dport 8472 drop\n }\n}\n',
      );
      const { findings, code } = doctor(agent);
      t.match(ofKind(findings, 'port-filtered'), [
        {
          severity: 'fault',
          what: /node2 \(172\.31\.0\.2\) answers over the underlay and not through the tunnel/,
          remedy: /open the VXLAN port/,
        },
      ]);
      t.equal(code, 1);
      two!.ns.must(['nft', 'delete', 'table', 'inet', 'block']);
    });

    await t.test('datagrams with a wrong outer checksum: not a filtered port', async t => {
      const prefix = ['ethtool', '-K', 'eth0'];
      one!.ns.must([...prefix, 'gro', 'off']);
      two!.ns.must([...prefix, 'tx', 'off']);
      one!.ns.must(
        ['nft', '-f', '-'],
        'table ip sums {\n chain in {\n type filter hook prerouting priority raw\n ip saddr 172.31.0.2 udp dport 8472 udp checksum set 0xdead\n }\n}\n',
      );
      const { findings } = doctor(agent);
      t.match(ofKind(findings, 'checksum-broken'), [
        { severity: 'fault', what: /refused \d+ datagrams with a wrong outer UDP checksum while node2/ },
      ]);
      t.same(ofKind(findings, 'port-filtered'), []);
      one!.ns.must(['nft', 'delete', 'table', 'ip', 'sums']);
      two!.ns.must([...prefix, 'tx', 'on']);
    });

    await t.test('reverse path filter: by its counter, and by a diverted route', async t => {
      one!.ns.sysctl('net.ipv4.conf.all.rp_filter=1');
      one!.ns.ip(`route add ${two!.subnet[4]} dev eth0 table 99`);
      // Only the way back of packets that arrive is looked up with this source.
      const rule = `from ${one!.tunnel[4]} to ${two!.subnet[4]} table 99`;
      one!.ns.ip(`rule add ${rule}`);
      const counted = doctor(agent).findings;
      t.match(ofKind(counted, 'reverse-path-filter'), [
        { severity: 'fault', what: /dropped \d+ packets while node2 \(172\.31\.0\.2\) was asked/ },
      ]);
      t.same(ofKind(counted, 'port-filtered'), []);
      one!.ns.ip(`rule del ${rule}`, `rule add to ${two!.subnet[4]} table 99`);
      t.match(ofKind(doctor(agent).findings, 'reverse-path-filter'), [
        { what: /node2 .* do not enter the tunnel \(the route leaves by eth0, not by flannel\.1\)/ },
      ]);
      one!.ns.sysctl('net.ipv4.conf.all.rp_filter=0');
      t.match(ofKind(doctor(agent).findings, 'route-diverted'), [{ what: /the route leaves by eth0/ }]);
      one!.ns.ip(`rule del to ${two!.subnet[4]} table 99`);
    });

    await t.test('a full queue: of the socket, and of the device', async t => {
      const { pid } = agent;
      // The header of VXLAN with VNI 1, and a frame to all: it blames no peer for what comes later.
      const flood = (to: string, port: number, count: number, bytes: number) =>
        `const s = require('dgram').createSocket('udp4'), b = Buffer.alloc(${bytes}, 255); let left = ${count};
        b.set([8, 0, 0, 0, 0, 0, 1, 0]);
        const next = () => left-- > 0 ? s.send(b, ${port}, '${to}', next) : s.close(); next();`;
      const releaseIngress = await holdWorker(one!.ns, pid, 'ingress');
      // The small ones take what is left between the large ones.
      for (const bytes of [32_000, 40])
        two!.ns.must([process.execPath, '-e', flood('172.31.0.1', 8472, 1000, bytes)]);
      t.match(ofKind(doctor(agent).findings, 'queue-full'), [
        { severity: 'fault', what: /datagrams while .* receive buffer of the tunnel is full/ },
        { severity: 'fault', what: /receive buffer/ },
      ]);
      await releaseIngress();
      const releaseEgress = await holdWorker(one!.ns, pid, 'egress');
      one!.pods[0]!.ns.must([process.execPath, '-e', flood(two!.pods[0]!.address[4], 9, 4000, 18)]);
      t.match(ofKind(doctor(agent).findings, 'queue-full'), [
        { severity: 'fault', what: /frames while .* queue of flannel\.1 is full/ },
        { severity: 'fault' },
      ]);
      await releaseEgress();
      await until('the way again', () => ofKind(doctor(agent).findings, 'queue-full').length === 0);
    });

    await t.test('agent of a peer ended', async t => {
      await agents[2]!.stop();
      await until('its liveness key to expire', async () =>
        (await agent.ask('/peers')).some(({ node }) => node === null),
      );
      t.match(ofKind(doctor(agent).findings, 'port-filtered'), [
        { what: /the node at 172\.31\.0\.3 .* its agent does not run: its lease has no heartbeat/ },
      ]);
      agents[2]!.start();
      await agents[2]!.ready(2);
      await agent.ready(2);
    });

    await t.test('underlay blocked', async t => {
      two!.ns.must(
        ['nft', '-f', '-'],
        'table inet block {\n chain in {\n type filter hook input priority 0\n ip saddr 172.31.0.1 drop\n }\n}\n',
      );
      t.match(ofKind(doctor(agent).findings, 'underlay-blocked'), [
        { what: /node2.*neither over the underlay nor through the tunnel/, remedy: /ping 172\.31\.0\.2/ },
      ]);
      two!.ns.must(['nft', 'delete', 'table', 'inet', 'block']);
    });

    await t.test('MTU too small on the way', async t => {
      lab.fabric!.ip('link set port2 mtu 1400');
      t.match(ofKind(doctor(agent).findings, 'mtu-too-small'), [
        {
          what: /the path MTU to node2 .* is 1400, the MTU of the interface is 1500/,
          remedy: /pods then get 1350/,
        },
      ]);
      lab.fabric!.ip('link set port2 mtu 1500');
    });

    await t.test('VNI differs, MAC stale, lease of another backend', async t => {
      const write = (key: string, value: object) =>
        writeFileSync(join(store.path, 'subnets', key), JSON.stringify(value));
      write('10.244.77.0-24', {
        PublicIP: '172.31.0.77',
        BackendType: 'vxlan',
        BackendData: { VNI: 2, VtepMAC: '0a:00:00:00:00:77' },
      });
      write('10.244.78.0-24', { PublicIP: '172.31.0.78', BackendType: 'host-gw' });
      const peers = await agent.ask('/peers');
      write('10.244.79.0-24', {
        PublicIP: '172.31.0.79',
        BackendType: 'vxlan',
        BackendData: { VNI: 1, VtepMAC: peers[0]!.mac },
      });
      await until(
        'them seen',
        async () => ofKind(doctor(agent).findings, 'vni-differs').length > 0,
        PATIENCE_MS,
        500,
      );
      const { findings } = doctor(agent);
      t.match(ofKind(findings, 'vni-differs'), [
        { what: /10\.244\.77\.0-24: it has VNI 2, this node 1/, remedy: /Backend\.VNI/ },
      ]);
      t.match(ofKind(findings, 'stale-identity'), [{ what: /10\.244\.79\.0-24.*VTEP MAC/ }]);
      t.match(ofKind(findings, 'lease-rejected'), [{ what: /has backend host-gw, this node vxlan/ }]);
    });

    await t.test('masquerade wrong, pods’ MTU, bridge netfilter, kernel state', async t => {
      one!.ns.must(['nft', 'add', 'table', 'ip', 'flannel-ipv4']);
      lab.podMtu(1500);
      const { findings } = doctor(agent);
      t.match(ofKind(findings, 'masquerade-wrong'), [
        { what: /nftables table ip flannel-ipv4/, remedy: /cleanup --flannel-rules/ },
      ]);
      t.match(ofKind(findings, 'pod-mtu-differs'), [
        { what: /cni0 have MTU 1500, the overlay carries 1450/, remedy: /ip link set cni0 mtu 1450/ },
      ]);
      const setting = one!.ns.attempt(['sysctl', '-n', 'net.bridge.bridge-nf-call-iptables']).stdout.trim();
      t.equal(ofKind(findings, 'bridge-netfilter-missing').length, setting === '1' ? 0 : 1);
      if (setting === '1') {
        one!.ns.sysctl('net.bridge.bridge-nf-call-iptables=0');
        t.match(ofKind(doctor(agent).findings, 'bridge-netfilter-missing'), [
          { remedy: /modprobe br_netfilter/ },
        ]);
      }
    });

    await t.test('checksum offload broken', async t => {
      const mac = (ns: typeof one) => ns!.ns.must(['cat', '/sys/class/net/flannel.1/address']).trim();
      two!.ns.must([process.execPath, '-e', sendUnfinished(mac(one), mac(two), one!.underlay[4])]);
      await until(
        'it counted',
        async () => ofKind(doctor(agent).findings, 'checksum-broken').length > 0,
        PATIENCE_MS,
        300,
      );
      t.match(ofKind(doctor(agent).findings, 'checksum-broken'), [
        { severity: 'fault', remedy: /ethtool -K/ },
      ]);
    });

    await t.test('frames lost are named with their remedy', async t => {
      one!.ns.ip(
        'neigh add 10.244.200.0 lladdr 0a:00:00:00:00:aa dev flannel.1 nud reachable',
        'route add 10.244.200.0/24 via 10.244.200.0 dev flannel.1 onlink',
      );
      one!.pods[0]!.ns.attempt(['ping', '-c1', '-W1', '10.244.200.5']);
      const lost = ofKind(doctor(agent).findings, 'drops');
      t.match(lost, [{ what: /flannel\.1: \d+ frames lost \(no-peer\)/, remedy: /ripstop peers/ }]);
    });

    await t.test('store away, kernel state that comes undone, underlay address gone', async t => {
      const seen = async (kind: Finding['kind'], what: RegExp) => {
        const texts = () => ofKind(doctor(agent).findings, kind).map(finding => finding.what);
        let told = texts();
        for (let tries = 0; told.length === 0 && tries < 20; tries++) told = texts();
        t.match(told[0], what);
      };
      renameSync(store.path, `${store.path}.away`);
      await seen('store-unreachable', /is unreachable since/);
      // The agent's heartbeat may have made the directory again.
      rmSync(store.path, { recursive: true, force: true });
      renameSync(`${store.path}.away`, store.path);

      const undoer = one!.ns.launch(['sh', '-c', 'while :; do ip route del 10.244.2.0/24 2>&-; done']);
      await seen('kernel-drift', /differs .* in \d+ places/);
      await undoer.stop();

      one!.ns.ip('addr del 172.31.0.1/24 dev eth0');
      await seen('not-ready', /no IPv4 address/);
      one!.ns.ip('addr add 172.31.0.1/24 dev eth0');
      await agent.ready(2);
      await until(
        'it well',
        () => ofKind(doctor(agent).findings, 'not-ready').length === 0,
        PATIENCE_MS,
        200,
      );
    });
  },
);

t.test(
  'a peer with another MAC than its lease says; nothing that masquerades; no right to probe',
  { skip: skipUnless('root', 'netns', 'tun', 'vxlan', 'nft', 'iptables', 'setpriv') },
  async t => {
    const lab = labFor(t);
    const [one, two] = lab.nodes;
    const store = fileStoreFor(t);
    const { agents } = agentsFor(t, lab, store.flags);
    const agent = agents[0]!;
    agent.rememberSubnet();
    agent.start();
    await agent.ready(0);
    // A node of flannel whose device was created again, with a MAC that its lease does not have.
    const before = new FlannelNode(two!, '0a:58:fd:00:00:02');
    writeFileSync(join(store.path, 'subnets', before.key), before.value);
    await agent.ready(1);
    two!.ns.ip('link del flannel.1');
    const after = new FlannelNode(two!, '0a:58:fd:00:00:99');
    const own = '10.244.1.0-24';
    after.learn(own, readFileSync(join(store.path, 'subnets', own), 'utf8'));
    two!.pods[0]!.ns.attempt(['ping', ...allAtOnce(2), '-W1', one!.pods[0]!.address[4]]);
    const { findings } = doctor(agent);
    t.match(ofKind(findings, 'stale-identity'), [
      {
        severity: 'fault',
        what: /172\.31\.0\.2.* dropped datagrams in the last 10 minutes: spoofed-source \d/,
        remedy: /ripstop peers --json/,
      },
    ]);
    t.match(ofKind(findings, 'masquerade-wrong'), [{ what: /nothing masquerades/, remedy: /--ip-masq/ }]);

    await agent.stop();
    agent.startWith(['+net_admin'], '--cni=false', '--probe-interval=1');
    await agent.ready(1);
    t.match(ofKind(doctor(agent).findings, 'skipped'), [{ remedy: /CAP_NET_RAW/ }]);
    await until('the probes given up', () =>
      readFileSync(agent.log, 'utf8').includes('peers are not probed'),
    );
  },
);
