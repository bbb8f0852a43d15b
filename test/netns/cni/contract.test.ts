import { writeFileSync } from 'node:fs';
import t, { type Test } from 'tap';
import { loadPlugin, PLUGIN_NAMES } from '../../../src/cni/plugins.ts';
import { ALL_VERSIONS, isAtLeast } from '../../../src/cni/skel/version.ts';
import { CniNode } from '../../fixtures/cni/cni.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

/*
 * What the specification asks of every plugin alike, asked of every plugin in every version: the command's oldest
 * version, DEL of what never was, GC and STATUS, and bad input, which has its code and leaves nothing.
 */

const skip = skipUnless('root', 'netns', 'ip', 'nft', 'iptables');

const ENV =
  'FLANNEL_NETWORK=10.1.0.0/16\nFLANNEL_SUBNET=10.1.3.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n';
/** Plugins that work on the result of an earlier one. */
const CHAINED = ['portmap', 'bandwidth', 'tuning', 'firewall', 'sample', 'sbr', 'vrf'];

/** A configuration of each plugin that it takes. */
function configurations(lab: CniNode): Record<string, object> {
  const ipam = lab.ipam();
  const subnetFile = `${lab.scratch}/subnet.env`;
  return {
    bridge: { ipam, ipMasq: true, macspoofchk: true },
    ptp: { ipam, ipMasq: true },
    macvlan: { ipam, master: 'up0' },
    ipvlan: { ipam, master: 'up0' },
    vlan: { ipam, master: 'up0', vlanId: 5 },
    loopback: {},
    'host-device': { device: 'up0' },
    dummy: { ipam },
    tap: { ipam },
    'host-local': { ipam },
    static: { ipam: { type: 'static', addresses: [{ address: '10.1.0.9/24' }] } },
    dhcp: { ipam: { type: 'dhcp', daemonSocketPath: `${lab.scratch}/nobody.sock` } },
    flannel: {
      subnetFile,
      dataDir: `${lab.scratch}/flannel`,
      ipam: { dataDir: `${lab.scratch}/networks` },
    },
    portmap: { runtimeConfig: { portMappings: [{ hostPort: 8080, containerPort: 80 }] } },
    bandwidth: { ingressRate: 8e6, ingressBurst: 8e5 },
    tuning: { mtu: 1400, dataDir: `${lab.scratch}/tuning` },
    firewall: { backend: 'nftables' },
    sbr: { table: 7 },
    vrf: { vrfname: 'red' },
    debug: {},
    sample: { anotherAwesomeArg: 'x' },
    ripstop: { subnetFile, ipam: { dataDir: `${lab.scratch}/networks` } },
  };
}

/** A node with an uplink and subnet.env, and what there is on it. */
function setUp(t: Test) {
  const lab = new CniNode(t);
  writeFileSync(`${lab.scratch}/subnet.env`, ENV);
  lab.node.ip('link add up0 type veth peer name up1', 'link set up0 up', 'link set up1 up');
  const there = () => [
    lab.node.ip('link show').match(/^\d+: [^:]+/gm),
    lab.node.must(['nft', 'list', 'ruleset']),
  ];
  const config = (type: string, cniVersion: string, changes: object = {}) => ({
    cniVersion,
    name: 'net',
    type,
    ...configurations(lab)[type],
    ...changes,
  });
  return { lab, there, config };
}

t.test('each plugin in each version: what it answers, and DEL of what never was', { skip }, async t => {
  const { lab, there, config } = setUp(t);
  const before = there();
  t.strictSame(Object.keys(configurations(lab)).sort(), [...PLUGIN_NAMES].sort(), 'none is left out');
  for (const name of PLUGIN_NAMES) {
    const told = await lab.call('VERSION', { type: name });
    t.strictSame(told.json, { cniVersion: '1.1.0', supportedVersions: [...ALL_VERSIONS] }, `${name} VERSION`);
    for (const version of ALL_VERSIONS) {
      const network = config(name, version);
      const tooOld = { status: 1, json: { cniVersion: version, code: 1 } };
      for (const pod of [undefined, '/no/such/netns', '/etc/hostname'])
        t.equal((await lab.call('DEL', network, { pod })).text, '', `${name} ${version} DEL, ${pod}`);
      if (!isAtLeast(version, '0.4.0'))
        t.match(
          await lab.call('CHECK', network, { pod: '/no/such/netns' }),
          tooOld,
          `${name} ${version} CHECK`,
        );
      if (isAtLeast(version, '1.1.0')) continue;
      for (const command of ['GC', 'STATUS'])
        t.match(await lab.call(command, network), tooOld, `${name} ${version} ${command}`);
    }
    // Twice: what there was is gone.
    for (let round = 0; round < 2; round++) {
      const gc = config(name, '1.1.0', { 'cni.dev/valid-attachments': [] });
      const { text, json } = await lab.call('GC', gc);
      if (name === 'dhcp') t.match(json, { code: 11, msg: /DHCP daemon/ }, 'only the daemon has its leases');
      else t.equal(text, '', `${name} GC`);
    }
    const status = await lab.call('STATUS', config(name, '1.1.0'));
    const waits = { dhcp: /DHCP daemon/, ripstop: /agent of this node does not answer/ }[name];
    if (waits) t.match(status.json, { code: 50, msg: waits }, `${name} STATUS`);
    else t.equal(status.text, '', `${name} STATUS`);
  }
  t.strictSame(there(), before);
});

/** For each plugin values that it cannot take, each with its code. */
const FAULTS: Record<string, [object, number][]> = {
  bridge: [
    [{ mtu: 'x' }, 7],
    [{ bridge: '../br' }, 7],
    [{ bridge: 'a b' }, 7],
    [{ bridge: 'bridge0123456789' }, 7],
    [{ ipam: 5 }, 7],
    [{ dns: 'x' }, 7],
    [{ runtimeConfig: 'x' }, 7],
  ],
  ptp: [
    [{ mtu: 'x' }, 7],
    [{ ipMasq: 'yes' }, 7],
    [{ ipam: { type: '../x' } }, 7],
    [{ dns: { nameservers: 'x' } }, 7],
  ],
  macvlan: [
    [{ mode: 'x' }, 7],
    [{ master: '../up0' }, 7],
    [{ master: 'nowhere' }, 999],
    [{ mtu: -1 }, 7],
  ],
  ipvlan: [
    [{ mode: 5 }, 7],
    [{ master: 'a b' }, 7],
    [{ mtu: -1 }, 7],
  ],
  vlan: [
    [{ vlanId: 'x' }, 7],
    [{ master: 5 }, 7],
    [{ linkInContainer: 'x' }, 7],
  ],
  loopback: [],
  'host-device': [
    [{ device: 5 }, 7],
    [{ device: undefined }, 7],
    [{ device: 'nowhere' }, 999],
    [{ device: undefined, kernelpath: '/etc' }, 7],
    [{ runtimeConfig: { deviceID: '../x' } }, 7],
  ],
  dummy: [[{ ipam: undefined }, 7]],
  tap: [
    [{ mtu: -1 }, 7],
    [{ owner: 'root' }, 7],
    [{ multiQueue: 'x' }, 7],
    [{ mac: 'x' }, 7],
    [{ bridge: 'nowhere' }, 999],
  ],
  'host-local': [
    [{ ipam: { type: 'host-local', subnet: 5 } }, 7],
    [{ ipam: { type: 'host-local', subnet: '10.1.0.1/24' } }, 7],
    [{ ipam: { type: 'host-local', ranges: {} } }, 7],
    [{ ipam: undefined }, 7],
  ],
  static: [
    [{ ipam: { type: 'static', addresses: 'x' } }, 7],
    [{ ipam: { type: 'static', addresses: [{ address: '10.1.0.9' }] } }, 7],
  ],
  dhcp: [[{ ipam: { type: 'dhcp', provide: 'x' } }, 7]],
  flannel: [
    [{ delegate: 'x' }, 7],
    [{ delegate: { name: 'x' } }, 7],
    [{ delegate: { type: '../x' } }, 7],
    [{ subnetFile: 5 }, 7],
  ],
  portmap: [
    [{ runtimeConfig: { portMappings: 'x' } }, 7],
    [{ runtimeConfig: { portMappings: [{ hostPort: 70000, containerPort: 80 }] } }, 7],
    [{ backend: 'ipfw' }, 7],
  ],
  bandwidth: [
    [{ ingressRate: 'x' }, 7],
    [{ ingressRate: 8000, ingressBurst: 0 }, 7],
  ],
  tuning: [
    [{ mtu: 'x' }, 7],
    [{ sysctl: { '../../kernel/x': '1' } }, 7],
    [{ sysctl: { 'kernel.panic': '1' } }, 7],
    [{ mac: 'x' }, 7],
  ],
  firewall: [
    [{ ingressPolicy: 'shut' }, 7],
    [{ backend: 'pf' }, 7],
  ],
  sbr: [[{ table: 'main' }, 7]],
  vrf: [
    [{ vrfname: '' }, 7],
    [{ table: -1 }, 7],
  ],
  debug: [[{ cniOutput: 5 }, 7]],
  sample: [[{ anotherAwesomeArg: '' }, 7]],
  ripstop: [
    [{ bridge: 5 }, 7],
    [{ birdge: 'cni0' }, 7],
    [{ ipam: { type: 'static' } }, 7],
    [{ subnetFile: '/no/such/file' }, 11],
  ],
};

/** Faults in what DEL itself needs: the address plugin, its directory, the file for the calls. */
const NEEDED_BY_DEL = [{ ipam: 5 }, { ipam: { type: '../x' } }, { ipam: undefined }, { cniOutput: 5 }].map(
  one => JSON.stringify(one),
);
/** GC asks the daemon, or gives the delegate what an ADD would give it. */
const GC_NEEDS_ALL = ['dhcp', 'flannel'];

t.test('DEL and GC: a fault in what only ADD needs is not refused', { skip }, async t => {
  const { lab, there, config } = setUp(t);
  const before = there();
  for (const [name, faults] of Object.entries(FAULTS)) {
    for (const [changes] of faults) {
      const what = `${name} ${JSON.stringify(changes)}`;
      if (NEEDED_BY_DEL.includes(JSON.stringify(changes))) continue;
      t.equal((await lab.call('DEL', config(name, '1.1.0', changes))).text, '', `${what} DEL`);
      if (GC_NEEDS_ALL.includes(name)) continue;
      const gc = config(name, '1.1.0', { ...changes, 'cni.dev/valid-attachments': [] });
      t.equal((await lab.call('GC', gc)).text, '', `${what} GC`);
    }
  }
  for (const name of ['bridge', 'ptp'])
    for (const command of ['DEL', 'GC']) {
      const pod = lab.pod(t);
      const add = await lab.call('ADD', config(name, '1.1.0'), { pod });
      t.equal(add.status, 0, add.text);
      const wrong = config(name, '1.1.0', { mtu: 'x', 'cni.dev/valid-attachments': [] });
      t.equal(
        (await lab.call(command, wrong, command === 'DEL' ? { pod } : {})).text,
        '',
        `${name} ${command}`,
      );
      if (name === 'bridge') lab.node.ip('link del cni0');
      t.strictSame(there()[0], before[0]);
    }
});

t.test('bad input: its code, its version, and nothing left', { skip }, async t => {
  const { lab, there, config } = setUp(t);
  const before = there();
  const pod = lab.pod(t);
  const empty = pod.ip('addr show');
  t.strictSame(Object.keys(FAULTS).sort(), [...PLUGIN_NAMES].sort(), 'none is left out');
  for (const name of PLUGIN_NAMES) {
    const { usesNamespace = true } = (await loadPlugin(name))!;
    const prevResult = {
      cniVersion: '1.1.0',
      interfaces: [{ name: 'up0' }, { name: 'eth0', sandbox: pod.path }],
      ips: [{ address: '10.1.0.9/24', interface: 1 }],
    };
    const previous = CHAINED.includes(name) ? { prevResult } : {};
    const refuses = async (what: string, code: number, changes: object, at: object = {}) => {
      const network = config(name, '1.1.0', { ...previous, ...changes });
      const { status, json } = await lab.call('ADD', network, { pod, ...at });
      t.match(
        { status, json },
        { status: 1, json: { cniVersion: '1.1.0', code, msg: /./ } },
        `${name}: ${what}`,
      );
    };
    if (usesNamespace) await refuses('a path that is no namespace', 4, {}, { pod: '/etc/hostname' });
    await refuses("the node's own namespace", 8, {}, { pod: lab.node });
    await refuses('no namespace', 4, {}, { pod: undefined });
    await refuses('an interface name that is too long', 4, {}, { ifname: 'eth0123456789abc' });
    await refuses('an interface name that leads out', 4, {}, { ifname: '../eth0' });
    await refuses('a container id that leads out', 4, {}, { id: '../c1' });
    await refuses('a network name that leads out', 7, { name: '../net' });
    await refuses('a network name with a blank', 7, { name: 'a b' });
    await refuses('a version of the future', 1, { cniVersion: '2.0.0' });
    await refuses('a version that is no text', 6, { cniVersion: 1 });
    for (const [changes, code] of FAULTS[name]!) await refuses(JSON.stringify(changes), code, changes);
    if (!CHAINED.includes(name)) continue;
    await refuses('nothing before it', 7, { prevResult: undefined });
    await refuses('a result that is none', 6, { prevResult: 'x' });
    await refuses('a result with an address that is none', 6, { prevResult: { ips: [{ address: 'x' }] } });
  }
  t.strictSame(there(), before);
  t.equal(pod.ip('addr show'), empty);
});
