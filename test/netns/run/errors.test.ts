import { mkdirSync, rmdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import t from 'tap';
import { attempt } from '../../../src/lab/command.ts';
import type { Namespace } from '../../../src/lab/namespace.ts';
import type { Node } from '../../../src/lab/topology.ts';
import { until } from '../../../src/lab/until.ts';
import {
  type Configuration,
  configurationOf,
  kernelPicture,
  MAIN,
  runCommand,
  runReady,
  startRun,
} from '../../fixtures/agents/run-node.ts';
import { labFor } from '../../fixtures/lab.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

/* Whatever is wrong at start: one clear line on standard error, an exit code that is not 0, nothing left behind. */

const skip = skipUnless('root', 'netns', 'tun', 'ip', 'unshare', 'setpriv');

interface Case {
  readonly what: string;
  readonly change?: Configuration;
  /** Puts the obstacle there; returns what takes it away. */
  readonly obstacle?: (ns: Namespace, folder: string) => Promise<() => unknown> | (() => unknown);
  readonly before?: readonly string[];
  readonly says: RegExp;
  readonly code?: number;
}

const link =
  (...lines: string[]) =>
  (ns: Namespace) => {
    ns.ip(...lines);
    return () => ns.ip(lines[0]!.replace(/ add (\S+).*/, ' del $1'));
  };

const MKNOD = 'mknod -m 666 /dev/net/tun c 10 200';

const CASES: readonly Case[] = [
  {
    what: 'no /dev/net/tun',
    before: ['unshare', '--mount', 'sh', '-c', 'mount -t tmpfs none /dev/net && exec "$@"', 'sh'],
    says: /^ripstop: cannot open \/dev\/net\/tun: ENOENT, it is not there; load the module/,
  },
  {
    what: '/dev/net/tun on a file system without devices',
    before: [
      'unshare',
      '--mount',
      'sh',
      '-c',
      `mount -t tmpfs -o nodev none /dev/net && ${MKNOD} && exec "$@"`,
      'sh',
    ],
    says: /^ripstop: cannot open \/dev\/net\/tun: EACCES, this user may not open it, .* nodev, .*; run as root, or/,
  },
  {
    what: 'no CAP_NET_ADMIN',
    before: ['setpriv', '--bounding-set=-net_admin', '--inh-caps=-net_admin'],
    says: /^ripstop: cannot create the tap device flannel\.1: no CAP_NET_ADMIN; run as root or with NET_ADMIN/,
  },
  {
    what: 'port in use',
    obstacle: async ns => {
      const holder = ns.launch([
        process.execPath,
        '-e',
        'require("dgram").createSocket("udp4").bind(8472,"172.31.0.1",()=>console.log("held"))',
      ]);
      await holder.saying(/held/);
      return () => holder.stop('SIGKILL');
    },
    says: /^ripstop: .*port 8472.*(taken|use)/i,
  },
  {
    what: 'port in use by a VXLAN device of the kernel, which ss does not show',
    obstacle: link('link add vx9 type vxlan id 9 dstport 8472 dev eth0', 'link set vx9 up'),
    says: /^ripstop: UDP port 8472 is in use .*: the VXLAN device vx9 of the kernel \(VNI 9\) has it; remove the device \(ip link del vx9\)/,
  },
  {
    what: 'the device name is taken by a bridge',
    obstacle: link('link add flannel.1 type bridge'),
    says: /^ripstop: device flannel\.1: the name is taken by a bridge device; remove it \(ip link del flannel\.1\), or use another name/,
  },
  {
    what: 'the device name is taken by a kernel VXLAN, as flannel has it',
    obstacle: link('link add flannel.1 type vxlan id 1 dstport 8472 dev eth0'),
    says: /^ripstop: device flannel\.1: the name is taken by a vxlan device/,
  },
  {
    what: 'the device name is taken by a TAP that outlives its maker',
    obstacle: ns => {
      ns.ip('tuntap add dev flannel.1 mode tap');
      return () => ns.ip('tuntap del dev flannel.1 mode tap');
    },
    says: /^ripstop: device flannel\.1: the name is taken by a tap device/,
  },
  {
    what: 'a second ripstop on the same device',
    obstacle: async (ns, folder) => {
      const file = `${folder}/first.yaml`;
      writeFileSync(file, JSON.stringify({ underlay: 'eth0', subnets: ['10.9.0.0/24'], port: 9999 }));
      const first = await runReady(ns, file);
      return () => first.stop();
    },
    says: /^ripstop: device flannel\.1: another process holds it; .*stop it/,
  },
  {
    what: 'MTU larger than the underlay takes',
    change: { mtu: 1451 },
    says: /^ripstop: eth0: MTU 1451 does not fit an underlay MTU of 1500: vxlan over IPv4 adds 50 bytes; the largest that fits is 1450/,
    code: 2,
  },
  {
    what: 'MTU too small for IPv6 pods',
    change: { mtu: 1279 },
    says: /^ripstop: eth0: MTU 1279 is below the 1280 bytes that IPv6 pods need/,
    code: 2,
  },
  {
    what: 'underlay too small for IPv6 pods',
    obstacle: ns => {
      ns.ip('link set eth0 mtu 1300');
      return () => ns.ip('link set eth0 mtu 1500');
    },
    says: /^ripstop: eth0: MTU 1250 is below the 1280 bytes that IPv6 pods need.*the underlay needs an MTU of at least 1330/,
    code: 2,
  },
  {
    what: 'an underlay address that is not here',
    change: { underlay: '203.0.113.9' },
    says: /^ripstop: no underlay interface fits: 203\.0\.113\.9: no such address here; interfaces: .*eth0/,
  },
  {
    what: 'an underlay interface that is not here',
    change: { underlay: 'eth9' },
    says: /^ripstop: no underlay interface fits: eth9: no such interface here; interfaces: .*eth0/,
  },
  {
    what: 'no default route',
    change: { underlay: 'auto' },
    says: /^ripstop: no default route determines the underlay interface; name it with --iface/,
  },
  {
    what: "an underlay inside the node's own pod subnet",
    change: { subnets: ['172.31.0.0/16'], peers: [] },
    says: /^ripstop: the pod subnet 172\.31\.0\.0\/16 of this node overlaps 172\.31\.0\.\S+, the network of eth0/,
    code: 2,
  },
  {
    what: 'two peers with the same name',
    change: {
      peers: [
        { name: 'a', address: '172.31.0.5', subnets: ['10.8.0.0/24'] },
        { name: 'a', address: '172.31.0.6', subnets: ['10.9.0.0/24'] },
      ],
    },
    says: /^ripstop: \S+node\.yaml: peers\[1\]\.name: a second peer "a"/,
    code: 2,
  },
  {
    what: 'a peer without address',
    change: { peers: [{ name: 'a', subnets: ['10.8.0.0/24'] }] },
    says: /^ripstop: \S+node\.yaml: peers\[0\]\.address: is missing/,
    code: 2,
  },
  {
    what: 'an unknown key',
    change: { prots: 1 },
    says: /^ripstop: \S+node\.yaml: prots: unknown key; did you mean "port"\?/,
    code: 2,
  },
  {
    what: 'a namespace that is not there',
    change: { namespace: 'nowhere' },
    says: /^ripstop: open a netlink socket in network namespace \/run\/netns\/nowhere: /,
  },
  {
    what: 'a setting that cannot be written, after device and sockets were made',
    before: ['unshare', '--mount', 'sh', '-c', 'mount --bind -o ro /proc/sys /proc/sys && exec "$@"', 'sh'],
    obstacle: ns => {
      ns.sysctl('net.ipv4.ip_forward=0');
      return () => ns.sysctl('net.ipv4.ip_forward=1');
    },
    says: /^ripstop: set net\/ipv4\/ip_forward = 1: \/proc\/sys is read-only here \(EROFS\); set it on the host \(sysctl -w net\.ipv4\.ip_forward=1\), or /,
  },
];

t.test('start', { skip }, async t => {
  const lab = labFor(t, { podsPerNode: 0 });
  const [one, two] = lab.nodes as [Node, Node];
  const folder = t.testdir();
  for (const { what, change, obstacle, before = [], says, code = 1 } of CASES) {
    const file = `${folder}/node.yaml`;
    writeFileSync(file, JSON.stringify(configurationOf(one, [two], { underlay: 'eth0', ...change })));
    const remove = await obstacle?.(one.ns, folder);
    const picture = kernelPicture(one.ns);
    const proc = startRun(one.ns, file, before);
    const ended = await until(`${what}: the end`, () => proc.result).catch((error: Error) => error);
    t.match(ended, { code, signal: null }, `${what}: exit code`);
    await proc.stop('SIGKILL');
    const said = proc.stderr.split('\n').filter(line => line !== '' && !line.startsWith('{'));
    t.equal(said.length, 1, `${what}: one line\n${proc.stderr}`);
    t.match(said[0], says, what);
    t.equal(kernelPicture(one.ns), picture, `${what}: nothing is left behind`);
    await remove?.();
  }
});

/** A control group of version 1 that forbids the device, as container runtimes make them. */
const DEVICES = '/sys/fs/cgroup/devices/devices.deny';

t.test('a device cgroup without /dev/net/tun is named', { skip: skip || skipUnless(DEVICES) }, t => {
  const lab = labFor(t, { podsPerNode: 0 });
  const [one, two] = lab.nodes as [Node, Node];
  const group = join(dirname(DEVICES), `ripstop-test-${process.pid}`);
  mkdirSync(group);
  t.teardown(() => rmdirSync(group));
  writeFileSync(join(group, 'devices.deny'), 'c 10:200 rwm');
  const file = `${t.testdir()}/node.yaml`;
  writeFileSync(file, JSON.stringify(configurationOf(one, [two], { underlay: 'eth0' })));
  const enter = `echo $$ > ${group}/cgroup.procs && exec "$@"`;
  // Not `ip netns exec`, which puts a /sys without control groups in front.
  const command = ['nsenter', `--net=${one.ns.path}`, 'sh', '-c', enter, 'sh', ...runCommand(file)];
  t.match(attempt(command), {
    code: 1,
    stderr:
      /cannot open \/dev\/net\/tun: EPERM, the device cgroup .* forbids it; Kubernetes: set privileged: true .*--device .*DeviceAllow=/,
  });
  t.end();
});

t.test('with NET_ADMIN and NET_RAW and nothing else', { skip }, async t => {
  const lab = labFor(t, { podsPerNode: 0 });
  const [one, two] = lab.nodes as [Node, Node];
  const file = `${t.testdir()}/node.yaml`;
  writeFileSync(file, JSON.stringify(configurationOf(one, [two], { underlay: 'eth0' })));
  const picture = kernelPicture(one.ns);
  const only = '-all,+net_admin,+net_raw';
  const proc = startRun(one.ns, file, ['setpriv', `--bounding-set=${only}`, `--inh-caps=${only}`]);
  await proc.saying(/"ready":true/);
  t.notMatch(proc.stderr, /"level":"(warn|error)"/, 'and without a complaint');
  t.match(await proc.stop(), { code: 0 });
  t.equal(kernelPicture(one.ns), picture);
});

t.test('as another user than root, with the two capabilities and the device', { skip }, async t => {
  const lab = labFor(t, { podsPerNode: 0 });
  const [one, two] = lab.nodes as [Node, Node];
  const input = JSON.stringify(configurationOf(one, [two], { underlay: 'eth0' }));
  one.ns.sysctl('net.ipv4.ip_forward=0');
  const picture = kernelPicture(one.ns);
  const device = 'mount -t tmpfs none /dev/net && mknod -m 666 /dev/net/tun c 10 200 && exec "$@"';
  const capabilities = '+net_admin,+net_raw';
  const user = [
    '--reuid=65534',
    '--regid=65534',
    '--clear-groups',
    `--inh-caps=${capabilities}`,
    `--ambient-caps=${capabilities}`,
  ];
  const proc = startRun(
    one.ns,
    '-',
    ['unshare', '--mount', 'sh', '-c', device, 'sh', 'setpriv', ...user],
    input,
  );
  await proc.saying(/"ready":true/);
  t.equal(one.ns.must(['sysctl', '-n', 'net.ipv4.ip_forward']).trim(), '1');
  t.match(await proc.stop(), { code: 0 });
  t.equal(kernelPicture(one.ns), picture);
});

t.test('--check', { skip }, async t => {
  const ns = labFor(t, { podsPerNode: 0 }).nodes[0]!.ns;
  const file = `${t.testdir()}/node.yaml`;
  writeFileSync(
    file,
    'subnets: [10.244.1.0/24]\npeers: [{name: a, address: 192.0.2.1, subnets: [10.244.2.0/24]}]\n',
  );
  const main = (...words: string[]) => ns.attempt([process.execPath, MAIN, ...words]);
  t.match(main('run', file, '--check'), {
    code: 0,
    stdout: /valid: vxlan on flannel\.1, 1 peer\n$/,
  });
  t.match(main('run', '--check', file), { code: 0, stdout: /: valid: / }, 'the flag before the file');
  const peer = (name: string, subnet: string) => `{name: ${name}, address: 192.0.2.1, subnets: [${subnet}]}`;
  writeFileSync(
    file,
    `subnets: [10.244.1.0/24]\npeers: [${peer('a', '10.244.2.0/24')}, ${peer('b', '10.244.3.0/24')}]\n`,
  );
  t.match(main('run', file, '--check'), {
    code: 2,
    stdout: '',
    stderr: /node\.yaml: peer "b" .*192\.0\.2\.1/,
  });
  writeFileSync(file, 'subnets: [10.244.1.0/24]\nvni: x\n');
  t.match(main('run', file, '--check'), {
    code: 2,
    stdout: '',
    stderr: /^ripstop: .*node\.yaml: vni: "x" is not a whole number within 0\.\.16777215 \[ECONFIG\]\n$/,
  });
  writeFileSync(file, 'subnets: [10.244.1.0/24]\n');
  const wrong: Record<string, RegExp> = {
    '--instance=BAD': /--instance: "BAD"/,
    '--web-port=9000 --web-ip=0.0.0.0': /web UI needs a token file/,
    '--driver=tuntap2 --workers=2': /driver tuntap2 does not support 2 queues/,
    '--etcd-prefix=/x': /--etcd-prefix: not a flag of ripstop run/,
    [`--state-dir=/tmp/${'x'.repeat(120)}`]: /longer than the path of a socket/,
  };
  for (const [flags, stderr] of Object.entries(wrong))
    t.match(main('run', file, '--check', ...flags.split(' ')), { code: 2, stdout: '', stderr }, flags);
  t.match(main('run'), { code: 2, stderr: /^ripstop: the file is missing; ripstop run FILE/ });
  t.match(main('rum'), { code: 2, stderr: /Did you mean run\?/ });
  t.match(main('--version'), { code: 0, stdout: /^\d+\.\d+\.\d+\n$/ });
  const help = main('run', '--help');
  t.match(help, { code: 0, stdout: /^Usage: ripstop run FILE[\s\S]*\nUnderlay:\n[\s\S]*--workers/ });
  t.notMatch(help.stdout, /--(etcd|kube|net-config|store|cni)/, 'flags that run does not take');
  t.same(
    help.stdout.split('\n').filter(line => line.length > 80),
    [],
  );
  const { stdout, code } = main('--help');
  t.equal(code, 0);
  t.ok(
    stdout.split('\n').every(line => line.length <= 80),
    '--help fits 80 columns',
  );
});
