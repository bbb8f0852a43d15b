import { mkdirSync, symlinkSync } from 'node:fs';
import t, { type Test } from 'tap';
import { installCni } from '../../../src/cni/install.ts';
import { CniNode } from '../../fixtures/cni/cni.ts';
import { details, everyVersion } from '../../fixtures/cni/every-version.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

/* host-device and tap: devices that are moved into the pod, or made there for another program. */

const skip = skipUnless('root', 'netns', 'ip', 'nft');
const skipTap = skip || skipUnless('/dev/net/tun');

const MAC = '02:00:5e:10:00:01';
const HOST_DEVICE = { cniVersion: '1.1.0', name: 'net', type: 'host-device' };
const TAP = { cniVersion: '1.1.0', name: 'net', type: 'tap' };

const device = (lab: CniNode) =>
  lab.node.ip(`link add dev0 address ${MAC} type veth peer name far0`, 'link set dev0 up');

t.test('host-device in every version', { skip }, async t => {
  await everyVersion(
    t,
    { type: 'host-device', device: 'dev0', dns: { nameservers: ['10.0.0.9'] } },
    (lab, pod, answer) => {
      t.match(details(pod), /alias dev0/);
      t.match(pod.ip('addr show eth0'), /inet 10\.1\.0\.\d+\/24[\s\S]*inet6 fd00:1::/);
      t.notMatch(lab.node.ip('link show'), /dev0:/);
      t.match(answer, { dns: { nameservers: ['10.0.0.9'] } });
    },
    undefined,
    lab => {
      lab.node.attempt(['ip', 'link', 'del', 'dev0']);
      device(lab);
    },
  );
});

t.test('host-device: DEL gives the device back, down, without alias and addresses', { skip }, async t => {
  const lab = new CniNode(t);
  const pod = lab.pod(t);
  device(lab);
  for (const name of [{ hwaddr: MAC.toUpperCase() }, { hwaddr: '0200.5e10.0001' }, { device: 'dev0' }]) {
    const config = { ...HOST_DEVICE, ...name };
    const { json } = await lab.call('ADD', config, { pod });
    t.match(json, { interfaces: [{ name: 'eth0', mac: MAC, sandbox: pod.path }] });
    t.notMatch(json, { ips: [] });
    t.match(pod.ip('link show eth0'), /UP/);
    t.equal((await lab.call('CHECK', { ...config, prevResult: json }, { pod })).text, '');
    for (let round = 0; round < 2; round++) t.equal((await lab.call('DEL', config, { pod })).text, '');
    const shown = lab.node.ip('link show dev0');
    t.match(shown, /state DOWN/);
    t.notMatch(shown, /alias/);
  }
});

t.test('host-device: a failed ADD gives the device back as it was', { skip }, async t => {
  const lab = new CniNode(t);
  const pod = lab.pod(t);
  device(lab);
  const before = lab.node.ip('link show dev0').replace(/^\d+:/, '');
  const gateway = { type: 'static', addresses: [{ address: '10.1.0.9/24', gateway: '10.9.0.1' }] };
  const { json } = await lab.call('ADD', { ...HOST_DEVICE, device: 'dev0', ipam: gateway }, { pod });
  t.match(json, { code: 7, msg: /gateway 10\.9\.0\.1 is outside/ });
  t.equal(lab.node.ip('link show dev0').replace(/^\d+:/, ''), before);
  t.notMatch(pod.ip('link show'), /eth0/);
});

t.test('IPv6 addresses of a device without a carrier: ADD succeeds', { skip: skipTap }, async t => {
  const lab = new CniNode(t);
  const pod = lab.pod(t);
  device(lab);
  const ipam = { type: 'static', addresses: [{ address: 'fd00:1::2/64' }] };
  for (const config of [
    { ...HOST_DEVICE, device: 'dev0', ipam },
    { ...TAP, ipam },
  ]) {
    const { status, text } = await lab.call('ADD', config, { pod });
    t.equal(status, 0, text);
    t.match(pod.ip('addr show eth0'), /NO-CARRIER[\s\S]*fd00:1::2\/64 scope global tentative/);
    t.equal((await lab.call('DEL', config, { pod })).text, '');
  }
});

t.test('host-device: what cannot be moved is refused or stays', { skip }, async t => {
  const lab = new CniNode(t);
  const pod = lab.pod(t);
  device(lab);
  for (const [config, code, msg] of [
    [{}, 7, /^specify either "device", "hwaddr", "kernelpath" or "pciBusID"/],
    [{ device: 'nowhere' }, 999, /^failed to find host device: Link not found/],
    [{ hwaddr: '02:00:00:00:00:99' }, 999, /^failed to find host device: no interface has the MAC/],
    [{ hwaddr: 'x' }, 7, /failed to parse MAC address "x"/],
    [{ kernelpath: '/etc' }, 7, /must be absolute and begin with \/sys\/devices\//],
    [{ kernelpath: '/sys/devices/../../etc' }, 7, /must be absolute and begin with \/sys\/devices\//],
    [{ kernelpath: '/sys/devices/none' }, 999, /failed to read directory \/sys\/devices\/none\/net/],
    [{ pciBusID: '../x' }, 7, /is not the name of a device of the bus/],
    [{ pciBusID: 'ffff:ff:1f.7' }, 999, /^error with host device/],
    [{ runtimeConfig: { deviceID: 'ffff:ff:1f.7' } }, 7, /^runtime config DeviceID ffff:ff:1f\.7 not found/],
  ] as const)
    t.match((await lab.call('ADD', { ...HOST_DEVICE, ...config }, { pod })).json, { code, msg });
  // An interface that another plugin made has no name to go back to.
  pod.ip('link add eth0 type veth peer name far');
  t.equal((await lab.call('DEL', { ...HOST_DEVICE, device: 'dev0' }, { pod })).text, '');
  t.match(pod.ip('link show'), /eth0/);
  pod.ip('link del eth0');
  // The node has a device of the former name by now.
  const add = await lab.call('ADD', { ...HOST_DEVICE, device: 'dev0' }, { pod });
  t.equal(add.status, 0, add.text);
  lab.node.ip('link add dev0 type bridge');
  const taken = await lab.call('DEL', { ...HOST_DEVICE, device: 'dev0' }, { pod });
  t.match(taken.json, { code: 999, msg: /the node has another device of this name/ });
  lab.node.ip('link del dev0');
  t.equal((await lab.call('DEL', { ...HOST_DEVICE, device: 'dev0' }, { pod })).text, '');
  t.match(lab.node.ip('link show'), /dev0/);
});

/**
 * The executable of a node without an agent, with a /sys/bus of its own: PCI and auxiliary devices whose directories name
 * devices of the node.
 */
function withBuses(t: Test) {
  const lab = new CniNode(t);
  const bin = `${lab.scratch}/own`;
  installCni({
    binDir: bin,
    socket: `${lab.scratch}/no-agent`,
    standalone: true,
    names: ['host-device', 'static'],
  });
  const bus = `${lab.scratch}/bus`;
  const lay = (path: string, driver: string) => {
    mkdirSync(`${bus}/${path}`, { recursive: true });
    const of = path.split('/').slice(0, 3).join('/');
    mkdirSync(`${bus}/drivers/${driver}`, { recursive: true });
    symlinkSync(`/sys/bus/drivers/${driver}`, `${bus}/${of}/driver`);
  };
  lay('pci/devices/0000:00:01.0/net/dev0', 'e1000');
  lay('pci/devices/0000:00:02.0/virtio3/net/dev0', 'virtio-pci');
  lay('pci/devices/0000:00:03.0', 'vfio-pci');
  mkdirSync(`${bus}/pci/devices/0000:00:04.0`);
  mkdirSync(`${bus}/auxiliary/devices/mlx5_core.sf.2/net/dev0`, { recursive: true });
  const exec = (command: string, config: object, pod: string) => {
    const variables = [
      ...[`CNI_COMMAND=${command}`, 'CNI_CONTAINERID=c1', `CNI_NETNS=${pod}`, 'CNI_IFNAME=eth0'],
      `CNI_PATH=${bin}`,
    ];
    const script = `mount --bind ${bus} /sys/bus && exec ${bin}/host-device`;
    const { stdout } = lab.node.attempt(
      ['env', ...variables, 'unshare', '-m', 'sh', '-c', script],
      JSON.stringify({ ...HOST_DEVICE, ...config }),
    );
    return stdout === '' ? undefined : JSON.parse(stdout);
  };
  return { lab, exec };
}

t.test('host-device by PCI address and device id, in a sysfs of its own', { skip }, async t => {
  const { lab, exec } = withBuses(t);
  const pod = lab.pod(t);
  device(lab);
  const moved = { interfaces: [{ name: 'eth0', mac: MAC, sandbox: pod.path }] };
  for (const config of [
    { pciBusID: '0000:00:01.0' },
    { pciBusID: '0000:00:02.0' },
    { pciBusID: '0000:00:04.0', runtimeConfig: { deviceID: '0000:00:01.0' } },
    { runtimeConfig: { deviceID: 'mlx5_core.sf.2' } },
  ]) {
    t.match(exec('ADD', config, pod.path), moved, JSON.stringify(config));
    t.equal((await lab.call('DEL', { ...HOST_DEVICE, ...config }, { pod })).text, '');
    t.match(lab.node.ip('link show'), /dev0/);
  }
  t.match(exec('ADD', { pciBusID: '0000:00:04.0' }, pod.path), { code: 999, msg: /^error with host device/ });
  // What a program in user space drives has addresses and no interface.
  const ipam = { type: 'static', addresses: [{ address: '10.1.0.9/24' }] };
  const config = { pciBusID: '0000:00:03.0', ipam };
  const answer = exec('ADD', config, pod.path);
  t.strictSame(answer.interfaces, [{ name: 'eth0', sandbox: pod.path }]);
  t.equal(answer.ips[0].address, '10.1.0.9/24');
  t.notMatch(pod.ip('link show'), /eth0/);
  t.equal(exec('CHECK', { ...config, prevResult: answer }, pod.path), undefined);
  t.equal(exec('DEL', config, pod.path), undefined);
});

t.test('tap in every version', { skip: skipTap }, async t => {
  await everyVersion(t, { type: 'tap', mtu: 1400, mac: MAC, multiQueue: true }, (_lab, pod) => {
    t.match(details(pod), /mtu 1400[\s\S]*tun type tap pi off vnet_hdr off multi_queue[\s\S]*persist on/);
    t.match(pod.ip('addr show eth0'), new RegExp(`${MAC}[\\s\\S]*inet 10\\.1\\.0\\.\\d+/24`));
  });
});

t.test('tap: owner, group, bridge and the order of MAC addresses', { skip: skipTap }, async t => {
  const lab = new CniNode(t);
  const pod = lab.pod(t);
  pod.ip('link add b0 type bridge');
  for (const [config, args, shown] of [
    [{}, '', /tun type tap(?! .*(user|group|multi_queue))/],
    [{ owner: 54321 }, '', /user 54321/],
    [
      { owner: 0, group: 54321, mac: MAC, mtu: 1300 },
      '',
      new RegExp(`mtu 1300[\\s\\S]*${MAC}[\\s\\S]*group 54321`),
    ],
    [{ bridge: 'b0' }, '', /master b0/],
    [{ mac: '02:00:00:00:00:01' }, 'MAC=02:00:00:00:00:02', /02:00:00:00:00:02/],
    [{ runtimeConfig: { mac: MAC } }, 'MAC=02:00:00:00:00:02', new RegExp(MAC)],
  ] as const) {
    const { json } = await lab.call('ADD', { ...TAP, ...config }, { pod, args });
    t.match(details(pod), shown, JSON.stringify(config));
    t.match(details(pod), /[<,]UP[,>]/);
    t.match(json, { interfaces: [{ name: 'eth0', sandbox: pod.path }] });
    t.equal((await lab.call('CHECK', { ...TAP, ...config, prevResult: json }, { pod })).text, '');
    t.equal((await lab.call('DEL', { ...TAP, ...config }, { pod })).text, '');
  }
  const refused = await lab.call('ADD', { ...TAP, bridge: 'none' }, { pod });
  t.match(refused.json, { code: 999, msg: /^failed to get bridge none/ });
  t.notMatch(pod.ip('link show'), /eth0/);
});

t.test(
  'tap: a context is refused where the kernel has no SELinux',
  { skip: skipTap || (!skipUnless('/sys/fs/selinux/enforce') && 'this kernel has SELinux') },
  async t => {
    const lab = new CniNode(t);
    const pod = lab.pod(t);
    const { json } = await lab.call(
      'ADD',
      { ...TAP, selinuxContext: 'system_u:system_r:container_t:s0' },
      { pod },
    );
    t.match(json, { code: 999, msg: /^failed set socket label/ });
    t.notMatch(pod.ip('link show'), /eth0/);
  },
);
