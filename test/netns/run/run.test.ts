import { writeFileSync } from 'node:fs';
import t from 'tap';
import { transfer } from '../../../bench/lab/transfer.ts';
import type { Lab, Node } from '../../../src/lab/topology.ts';
import { until } from '../../../src/lab/until.ts';
import {
  configurationOf,
  kernelPicture,
  MAIN,
  newStateDir,
  runCommand,
  runReady,
} from '../../fixtures/agents/run-node.ts';
import { labFor } from '../../fixtures/lab.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

/* Two nodes in namespaces, each with `ripstop run` and a pod behind it. */

const skip = skipUnless('root', 'netns', 'tun', 'ip', 'ping', 'nft');

function ping(from: Node, to: Node, family: 4 | 6, ...options: string[]) {
  const pod = from.pods[0]!;
  return pod.ns.attempt([
    'ping',
    '-c',
    '3',
    '-i',
    '0.05',
    '-W',
    '10',
    ...options,
    to.pods[0]!.address[family],
  ]);
}

async function overlay(
  owner: Parameters<typeof labFor>[0] & { testdir(): string },
  extra: object,
  underlay: 4 | 6,
) {
  const lab: Lab = labFor(owner);
  const before = lab.nodes.map(node => kernelPicture(node.ns));
  const folder = owner.testdir();
  const files = lab.nodes.map(node => {
    const file = `${folder}/node${node.index}.yaml`;
    const peers = lab.nodes.filter(peer => peer !== node);
    const threadsPerQueue = node.index === 1 ? 'one' : 'two';
    writeFileSync(
      file,
      JSON.stringify(configurationOf(node, peers, { threadsPerQueue, ...extra }, underlay)),
    );
    return file;
  });
  const procs = await Promise.all(lab.nodes.map((node, at) => runReady(node.ns, files[at]!)));
  return { lab, before, procs, files };
}

for (const mode of ['vxlan', 'udp'] as const) {
  for (const underlay of [4, 6] as const) {
    t.test(`${mode} over IPv${underlay}`, { skip }, async t => {
      const { lab, before, procs } = await overlay(t, { mode }, underlay);
      const [one, two] = lab.nodes as [Node, Node];
      const device = mode === 'vxlan' ? 'flannel.1' : 'flannel0';
      const [shown] = JSON.parse(one.ns.must(['ip', '-j', '-d', 'addr', 'show', device]));
      const overhead = (mode === 'vxlan' ? 50 : 28) + (underlay === 6 ? 20 : 0);
      t.equal(shown.mtu, 1500 - overhead, 'MTU is right for both families of the underlay');
      t.equal(shown.linkinfo.info_data.type, mode === 'vxlan' ? 'tap' : 'tun');
      t.equal(
        shown.linkinfo.info_data.persist,
        false,
        'the device ends with the process, also when it is killed',
      );
      t.match(
        shown.addr_info.map((x: { local: string; prefixlen: number }) => `${x.local}/${x.prefixlen}`),
        [`${one.tunnel[4]}/32`, `${one.tunnel[6]}/128`],
        'the base address of each subnet, and no link-local one',
      );
      const route = one.ns.must(['ip', 'route', 'show', two.subnet[4]]);
      if (mode === 'vxlan') {
        t.match(route, `via ${two.tunnel[4]} dev flannel.1 proto 114 onlink`);
        t.match(
          one.ns.must(['ip', 'neigh', 'show', 'dev', device]),
          new RegExp(`${two.tunnel[4]} lladdr .* PERMANENT`),
        );
        const [theirs] = JSON.parse(two.ns.must(['ip', '-j', 'link', 'show', device]));
        t.match(
          one.ns.must(['ip', 'neigh']),
          theirs.address,
          'the MAC of a peer is derived as the peer derives its own',
        );
      } else {
        t.match(route, 'dev flannel0 proto 114');
      }
      for (const family of [4, 6] as const) {
        const { stdout, code } = ping(one, two, family);
        t.equal(code, 0, stdout);
        t.match(stdout, /ttl=62/, 'two hops, as over kernel VXLAN');
      }
      for (const node of lab.nodes)
        t.equal(node.ns.attempt(['ping', '-c', '1', '-W', '10', two.tunnel[4]]).code, 0, 'node to node');
      for (const proc of procs) t.match(await proc.stop(), { code: 0 });
      t.same(
        lab.nodes.map(node => kernelPicture(node.ns)),
        before,
        'nothing is left behind',
      );
    });
  }
}

t.test('IPv4 pods only, with settings to give back and a route to put aside', { skip }, async t => {
  const lab = labFor(t);
  const [one, two] = lab.nodes as [Node, Node];
  one.ns.sysctl('net.ipv4.ip_forward=0', 'net.ipv6.conf.all.forwarding=0');
  one.ns.ip(`route add ${two.subnet[4]} via ${two.underlay[4]} mtu 1400 proto static`);
  const before = kernelPicture(one.ns);
  const file = `${t.testdir()}/node.yaml`;
  const configuration = { ...configurationOf(one, [two]), subnets: [one.subnet[4]] };
  writeFileSync(file, JSON.stringify(configuration));
  const proc = await runReady(one.ns, file);
  t.equal(one.ns.must(['sysctl', '-n', 'net.ipv4.ip_forward']).trim(), '1');
  t.equal(one.ns.must(['sysctl', '-n', 'net.ipv6.conf.all.forwarding']).trim(), '0', 'IPv6 is left alone');
  t.match(one.ns.must(['ip', 'route', 'show', two.subnet[4]]), 'dev flannel.1');
  await proc.stop('SIGINT');
  t.equal(kernelPicture(one.ns), before, 'setting and foreign route are as they were');
});

t.test('every offload switched off, more workers, one source port: files arrive whole', { skip }, async t => {
  const off = {
    csum: false,
    tso: false,
    uso: false,
    udpGso: false,
    udpGro: false,
    mergeTcp: false,
    mergeUdp: false,
  };
  const { lab, procs } = await overlay(
    t,
    { offloads: off, workers: 2, sourcePorts: 1, busyPollMicroseconds: 0 },
    4,
  );
  const [one, two] = lab.nodes as [Node, Node];
  for (const name of Object.keys(off))
    t.match(
      procs[0]!.stderr,
      new RegExp(`"${name}":"(off by configuration|needs \\w+)"`),
      `${name} is off, and shown so`,
    );
  for (const family of [4, 6] as const)
    for (const [from, to] of [
      [one, two],
      [two, one],
    ] as const) {
      const [source, target] = [from.pods[0]!, to.pods[0]!];
      const address = target.address[family];
      t.match(await transfer({ from: source.ns, to: target.ns, address, bytes: 8 << 20 }), { intact: true });
    }
  for (const proc of procs) t.match(await proc.stop(), { code: 0 });
});

for (const mode of ['vxlan', 'udp'] as const) {
  t.test(`${mode} on the device of the package node-tuntap2: slow, and whole`, { skip }, async t => {
    const { lab, before, procs } = await overlay(t, { mode, driver: 'tuntap2' }, 4);
    const [one, two] = lab.nodes as [Node, Node];
    t.match(procs[0]!.stderr, /"csum":"off by configuration"/, 'no offload that it cannot have');
    for (const family of [4, 6] as const) {
      const { stdout, code } = ping(one, two, family);
      t.equal(code, 0, stdout);
      const ends = { from: one.pods[0]!.ns, to: two.pods[0]!.ns, address: two.pods[0]!.address[family] };
      t.match(await transfer({ ...ends, bytes: 4 << 20 }), { intact: true });
    }
    for (const proc of procs) t.match(await proc.stop(), { code: 0 });
    t.same(
      lab.nodes.map(node => kernelPicture(node.ns)),
      before,
      'nothing is left behind',
    );
  });
}

t.test('a killed process leaves no device, and the next one starts', { skip }, async t => {
  const { lab, procs, before, files } = await overlay(t, {}, 4);
  const [one] = lab.nodes as [Node];
  await procs[0]!.stop('SIGKILL');
  t.equal(kernelPicture(one.ns), before[0], 'the kernel took everything away with the device');
  const again = await runReady(one.ns, files[0]!);
  t.equal(ping(one, lab.nodes[1]!, 4).code, 0);
  t.match(await again.stop(), { code: 0 });
});

t.test('the namespace key, auto underlay, own MAC, port, VNI, device name, MTU', { skip }, async t => {
  const lab = labFor(t);
  const [one, two] = lab.nodes as [Node, Node];
  one.ns.ip(`route add default via ${two.underlay[4]}`);
  const file = `${t.testdir()}/node.yaml`;
  const configuration = {
    ...configurationOf(one, [two]),
    underlay: 'auto',
    namespace: one.ns.name,
    vni: 77,
    port: 4789,
    mac: '0A:00:00:00:00:77',
    device: 'overlay.77',
    mtu: 1400,
    txQueueLength: 123,
  };
  writeFileSync(file, JSON.stringify(configuration));
  // Started in the other node's namespace: everything must be made where the key says.
  const proc = await runReady(two.ns, file);
  t.match(JSON.parse(one.ns.must(['ip', '-j', 'link', 'show', 'overlay.77'])), [
    { mtu: 1400, address: '0a:00:00:00:00:77', txqlen: 123 },
  ]);
  t.match(one.ns.must(['ss', '-Hlun']), '172.31.0.1:4789');
  t.notMatch(two.ns.must(['ip', 'link']), /overlay/);
  t.match(await proc.stop(), { code: 0 });
});

t.test('doctor, probes, metrics and the other commands of the agent', { skip }, async t => {
  const lab = labFor(t);
  const [one, two] = lab.nodes as [Node, Node];
  const folder = t.testdir();
  const states = [newStateDir(), newStateDir()];
  const procs = lab.nodes.map((node, at) => {
    const file = `${folder}/node${node.index}.yaml`;
    const peers = lab.nodes.filter(peer => peer !== node);
    writeFileSync(file, JSON.stringify({ ...configurationOf(node, peers), workers: 2 }));
    const flags = ['--probe-interval=1', '--metrics-address=127.0.0.1:9433', '--source-ports=4'];
    return node.ns.launch([...runCommand(file, states[at]), ...flags]);
  });
  for (const proc of procs) await proc.saying(/"ready":true/);
  const ask = (...words: string[]) =>
    one.ns.attempt([process.execPath, MAIN, ...words, '--socket', `${states[0]}/agent.sock`]);
  await until('the probes', () => /node2 +172\.31\.0\.2 .* 0 % /.test(ask('peers').stdout));
  t.match(ask('doctor'), { code: 0 });
  const { stdout: status } = ask('status');
  t.match(status, /^ready +yes$/m);
  t.match(status, /^rules +none$/m);
  t.match(status, /^workers +2 +file$/m);
  t.match(status, /^sourcePorts +4 +flag$/m);
  t.match(status, /^flood +false +default$/m);
  t.match(ask('plan').stdout, /nothing to change/);
  t.match(ask('routes').stdout, two.subnet[4]);
  const script = "fetch('http://127.0.0.1:9433/metrics').then(async r => console.log(await r.text()))";
  t.match(one.ns.must([process.execPath, '-e', script]), /^ripstop_peers\{.*\} 1$/m);
  t.equal(one.ns.must(['nft', 'list', 'tables']), '', 'no rules');
  for (const proc of procs) t.match(await proc.stop(), { code: 0 });
});
