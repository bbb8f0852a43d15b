import { copyFileSync, mkdirSync, readFileSync, realpathSync, symlinkSync, writeFileSync } from 'node:fs';
import t, { type Test } from 'tap';
import { attempt, must } from '../../bench/lab/command.ts';
import { launch, type Proc } from '../../bench/lab/proc.ts';
import { until } from '../../bench/lab/until.ts';
import { installCni } from '../../src/cni/install.ts';
import { loadPlugin } from '../../src/cni/plugins.ts';
import { serveCni } from '../../src/cni/shim/serve.ts';
import { kernelNamespaces } from '../../src/cni/skel/namespace.ts';
import { CniNode } from '../support/cni.ts';
import { need } from '../support/need.ts';

/*
 * A real runtime: Debian's containerd, whose `ctr run --cni` calls what stands in /opt/cni/bin by what stands in
 * /etc/cni/net.d. It runs in the namespace of a node and with its own /etc and /opt, so the machine's are not touched.
 */

t.setTimeout(120_000);
const skip = need('root', 'netns', 'ip', 'nft', 'containerd', 'ctr', 'runc', 'busybox', '/sys/fs/cgroup');

const ENV =
  'FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=10.244.3.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=false\n';

async function setUp(t: Test) {
  const lab = new CniNode(t);
  const at = (name: string) => `${lab.scratch}/${name}`;
  const rootfs = at('rootfs');
  for (const name of ['bin', 'proc', 'sys', 'dev', 'tmp'])
    mkdirSync(`${rootfs}/${name}`, { recursive: true });
  copyFileSync(realpathSync(busybox()), `${rootfs}/bin/busybox`);
  for (const name of ['sh', 'ip', 'ping', 'sleep', 'cat', 'nc'])
    symlinkSync('busybox', `${rootfs}/bin/${name}`);
  for (const name of ['etc', 'etc-work', 'opt', 'opt-work']) mkdirSync(at(name));
  const confDir = at('etc/cni/net.d');
  mkdirSync(confDir, { recursive: true });
  installCni({ binDir: at('opt/cni/bin'), socket: at('cni.sock') });
  writeFileSync(at('subnet.env'), ENV);
  const overlay = (name: string) =>
    `mount -t overlay overlay -o lowerdir=/${name},upperdir=${at(name)},workdir=${at(`${name}-work`)} /${name}`;
  // Not `ip netns exec`, which puts a /sys without control groups in front.
  const onNode = (...argv: string[]) => ['nsenter', `--net=${lab.node.path}`, '--', ...argv];
  const daemon = launch(
    onNode(
      'unshare',
      '-m',
      'sh',
      '-c',
      `mount --make-rprivate / && ${overlay('etc')} && ${overlay('opt')} && exec containerd --root ${at('root')} --state ${at('state')} --address ${at('containerd.sock')} --log-level warn`,
    ),
  );
  t.teardown(() => daemon.stop());
  const ctr = (...args: string[]) =>
    onNode(
      'nsenter',
      `--mount=/proc/${daemon.pid}/ns/mnt`,
      'ctr',
      '--address',
      at('containerd.sock'),
      ...args,
    );
  await until('containerd answers', () => attempt(ctr('version')).code === 0, 20_000, 100);
  const running: string[] = [];
  t.teardown(() => {
    for (const id of running) attempt(ctr('task', 'kill', '-s', 'SIGKILL', id));
  });
  /** Runs a container in the foreground of a process; it ends with `kill`. */
  const container = async (id: string): Promise<Proc> => {
    running.push(id);
    const command = 'ip -4 addr show eth0; ip route; nc -l -p 80 -e cat & echo up; sleep 1000';
    const proc = launch(ctr('run', '--rm', '--cni', '--rootfs', rootfs, id, '/bin/sh', '-c', command));
    await proc.saying(/^up/m, 20_000);
    return proc;
  };
  const inside = (id: string, ...argv: string[]) =>
    attempt(
      ctr(
        'task',
        'exec',
        '--exec-id',
        `e${Math.random().toString(36).slice(2)}`,
        id,
        '/bin/busybox',
        ...argv,
      ),
    );
  const kill = async (id: string, proc: Proc) => {
    must(ctr('task', 'kill', '-s', 'SIGKILL', id));
    await proc.ended;
    running.splice(running.indexOf(id), 1);
  };
  const configure = (name: string, plugins: object[]) =>
    writeFileSync(`${confDir}/10-net.conflist`, JSON.stringify({ cniVersion: '1.0.0', name, plugins }));
  return { lab, at, container, inside, kill, configure };
}

function busybox(): string {
  return ['/bin/busybox', '/usr/bin/busybox'].find(file => {
    try {
      return readFileSync(file).length > 0;
    } catch {
      return false;
    }
  })!;
}

const addressOf = (proc: Proc) => /inet ([\d.]+)\/24/.exec(proc.stdout)?.[1];
const leftovers = (lab: CniNode) => [
  ...(lab.node.ip('link show').match(/veth[0-9a-f]{8}|bwp[0-9a-f]+/g) ?? []),
  ...(lab.node.must(['nft', 'list', 'ruleset']).match(/comment "rs.*/g) ?? []),
];

t.test("containerd with flannel's chain, no agent", { skip }, async t => {
  const { lab, at, container, inside, kill, configure } = await setUp(t);
  configure('cbr0', [
    {
      type: 'flannel',
      subnetFile: at('subnet.env'),
      dataDir: at('flannel'),
      delegate: { isDefaultGateway: true, hairpinMode: true },
      ipam: { dataDir: at('networks') },
    },
    { type: 'portmap', capabilities: { portMappings: true } },
    { type: 'tuning', sysctl: { 'net.core.somaxconn': '511' }, dataDir: at('tuning') },
  ]);
  const one = await container('one');
  const two = await container('two');
  t.match(one.stdout, /mtu 1450/);
  t.match(one.stdout, /default via 10\.244\.3\.1/);
  t.match(one.stdout, /10\.244\.0\.0\/16 via 10\.244\.3\.1/);
  t.equal(inside('two', 'ping', '-c1', '-W2', addressOf(one)!).code, 0, 'pod to pod');
  t.equal(inside('one', 'cat', '/proc/sys/net/core/somaxconn').stdout.trim(), '511');
  await kill('one', one);
  t.equal(inside('two', 'ping', '-c1', '-W2', '10.244.3.1').code, 0, 'the other one stays');
  await kill('two', two);
  t.strictSame(leftovers(lab), []);
});

t.test('containerd with the ripstop plugin and the agent: host port and limit', { skip }, async t => {
  const { lab, at, container, inside, kill, configure } = await setUp(t);
  const log: string[] = [];
  const server = await serveCni(at('cni.sock'), {
    clock: () => performance.now(),
    netns: lab.node.path,
    namespaces: kernelNamespaces,
    log: line => void log.push(line),
    own: loadPlugin,
    agent: { trouble: () => undefined },
  });
  t.teardown(() => new Promise<void>(done => server.close(() => done())));
  const own = (runtimeConfig: object) =>
    configure('pods', [
      { type: 'ripstop', subnetFile: at('subnet.env'), ipam: { dataDir: at('networks') }, runtimeConfig },
    ]);
  // `ctr` has no option for ports; what a runtime would pass stands in the configuration of the first pod.
  own({
    portMappings: [{ hostPort: 8080, containerPort: 80, protocol: 'tcp' }],
    bandwidth: { ingressRate: 8e6, ingressBurst: 8e5, egressRate: 8e6, egressBurst: 8e5 },
  });
  const one = await container('one');
  t.match(lab.node.ip('link show'), /bwp[0-9a-f]+/);
  const talk = lab.node.attempt([
    'bash',
    '-c',
    'exec 3<>/dev/tcp/127.0.0.1/8080; echo hello >&3; timeout 2 head -n1 <&3',
  ]);
  t.equal(talk.stdout.trim(), 'hello', 'by the host port');
  own({});
  const two = await container('two');
  t.equal(inside('two', 'ping', '-c1', '-W2', addressOf(one)!).code, 0, 'pod to pod');
  own({
    portMappings: [{ hostPort: 8080, containerPort: 80, protocol: 'tcp' }],
    bandwidth: { ingressRate: 8e6, ingressBurst: 8e5, egressRate: 8e6, egressBurst: 8e5 },
  });
  await kill('one', one);
  await kill('two', two);
  t.strictSame(leftovers(lab), []);
});
