import { writeFileSync } from 'node:fs';
import t from 'tap';
import { ResolvedSettings } from '../../../../src/agent/config/settings.ts';
import { contradictionsOf } from '../../../../src/agent/store/static/contradictions.ts';
import {
  networkConfigOf,
  parseStaticFile,
  peerLease,
  readText,
} from '../../../../src/agent/store/static/static-file.ts';
import { StaticStore } from '../../../../src/agent/store/static/store.ts';
import { vtepMac } from '../../../../src/agent/store/static/vtep-mac.ts';
import { describeError, RipstopError } from '../../../../src/base/errors.ts';

const parse = (source: string) => parseStaticFile(source, 'node.yaml');

const MINIMAL = 'subnets: [10.244.1.0/24]\n';

t.test('what is left out is settled', async t => {
  const config = parse(MINIMAL);
  t.match(config, {
    mode: 'vxlan',
    port: 8472,
    vni: 1,
    device: 'flannel.1',
    underlay: 'auto',
    mtu: 'auto',
    namespace: '',
    peers: [],
  });
  t.equal(config.settings.size, 0, 'an absent setting is left to the cluster and the defaults');
  t.match(parse(`${MINIMAL}mode: udp\n`), { port: 8285, device: 'flannel0' });
  t.match(parse(`${MINIMAL}vni: 42\n`), { device: 'flannel.42' });
  t.equal(parse(`${MINIMAL}namespace: blue\n`).namespace, '/run/netns/blue');
  t.equal(parse(`${MINIMAL}namespace: /proc/1/ns/net\n`).namespace, '/proc/1/ns/net');
  t.same(parse('subnets: [10.244.1.0/024]').subnets, ['10.244.1.0/24']);
  const { settings } = parse(`${MINIMAL}offloads: { uso: false }\nworkers: 2\n`);
  t.same(
    [...settings],
    [
      ['workers', 2],
      ['offloads.uso', false],
    ],
  );
});

t.test('addresses and subnets are read in their canonical form', async t => {
  const config = parse(`
subnets: ["FD00:1:0::/64"]
mac: 0A-0B-0C-0D-0E-0F
peers:
  - { name: two, address: "FD31:0:0::2", subnets: ["fd00:2::0/64", 10.244.2.0/24] }
`);
  t.same(config.subnets, ['fd00:1::/64']);
  t.equal(config.mac, '0a:0b:0c:0d:0e:0f');
  t.match(config.peers, [{ name: 'two', address: 'fd31::2', subnets: ['fd00:2::/64', '10.244.2.0/24'] }]);
});

t.test('a node address within a pod network is refused, as its datagrams would enter the tunnel', async t => {
  const file = (underlay: string, peer: string) => `mode: udp
underlay: ${underlay}
subnets: [192.1.1.0/24]
networks: [192.0.0.0/8]
peers: [{ name: b, address: ${peer}, subnets: [192.1.2.0/24] }]
`;
  t.throws(() => parse(file('198.51.100.1', '192.9.9.9')), {
    code: 'ECONFIG',
    message: 'node.yaml: peers[0].address: 192.9.9.9 lies in the pod network 192.0.0.0/8',
  });
  t.throws(() => parse(file('192.9.9.8', '198.51.100.2')), { message: /underlay: 192\.9\.9\.8 lies/ });
  t.equal(parse(file('198.51.100.1', '198.51.100.2')).peers.length, 1);
  const vxlan = file('192.9.9.8', '192.9.9.9').replace('mode: udp', 'mode: vxlan');
  t.equal(parse(vxlan).peers.length, 1, 'vxlan routes only the subnets of peers to the device');
});

t.test('a subnet outside the networks is refused, whatever the mode', async t => {
  const peers = 'peers: [{ name: b, address: 192.0.2.2, subnets: [10.9.2.0/24] }]';
  for (const mode of ['vxlan', 'udp']) {
    const file = (networks: string) => `mode: ${mode}\n${MINIMAL}networks: [${networks}]\n${peers}\n`;
    t.throws(() => parse(file('10.244.0.0/16')), {
      code: 'ECONFIG',
      message: 'node.yaml: peers[0].subnets[0]: 10.9.2.0/24 is outside the pod network 10.244.0.0/16',
    });
    t.throws(() => parse(file('10.9.0.0/16')), { message: /: subnets\[0\]: 10\.244\.1\.0\/24 is outside/ });
    t.equal(parse(file('10.0.0.0/8')).peers.length, 1);
    t.equal(parse(file('fd00::/48')).peers.length, 1, 'a network of the other family says nothing');
  }
});

t.test('contradictions of a file are the leases that its node refuses', async t => {
  const file = (peers: string, head = 'underlay: 192.0.2.1') =>
    contradictionsOf(parse(`${MINIMAL}${head}\npeers:\n${peers}`)).map(
      ({ key, message }) => `${key} ${message}`,
    );
  const a = '  - { name: a, address: 192.0.2.2, subnets: [10.244.2.0/24] }\n';
  t.same(file(a), []);
  t.match(file(`${a}  - { name: b, address: 192.0.2.2, subnets: [10.244.3.0/24] }\n`), [/^b .*192\.0\.2\.2/]);
  t.match(file(`${a}  - { name: b, address: 192.0.2.3, subnets: [10.244.2.0/24] }\n`), [
    /^b .*10\.244\.2\.0\/24/,
  ]);
  t.match(file('  - { name: b, address: 192.0.2.1, subnets: [10.244.3.0/24] }\n'), [
    /^b publishes this node's own/,
  ]);
  t.same(file(a, 'underlay: eth0'), [], 'an interface gives no address to compare with');
  t.throws(() => file(a, 'mtu: 65536'), { message: /^node\.yaml: mtu: 65536 is not/ });
  t.throws(() => file(a, 'underlay: 192.0.2.1\nmtu: 65500'), { code: 'ECONFIG', message: /^mtu: MTU 65500/ });
  t.match(file('  - { name: b, address: 192.0.2.3, subnets: [10.244.1.0/25] }\n', 'underlay: auto'), [
    /^b has 10\.244\.1\.0\/25, which overlaps/,
  ]);
});

t.test('peers are leases that do not end, with derived MACs', async t => {
  const file = parse(`
subnets: [10.244.1.0/24]
vni: 7
peers:
  - { name: two, address: "fd31::2", subnets: ["fd00:2::/64", 10.244.2.0/24], remoteChecksum: true, offloadProofs: true }
  - { name: three, address: "fd31::3", subnets: [10.244.3.0/24], mac: "0a:00:00:00:00:03" }
`);
  const [two, three] = file.peers.map(peer => peerLease(peer, file));
  t.match(two, {
    key: 'two',
    node: 'two',
    expiresAt: 0,
    attributes: {
      publicIp: undefined,
      publicIpv6: 'fd31::2',
      backendType: 'vxlan',
      backendV6Data: {
        VNI: 7,
        VtepMAC: vtepMac(7, 'fd31::2'),
        RipstopRemoteChecksum: true,
        RipstopOffloadProofs: 1,
      },
    },
  });
  t.same(three?.attributes.backendV6Data, { VNI: 7, VtepMAC: '0a:00:00:00:00:03' });
  const udp = parse(`${MINIMAL}mode: udp
peers:
  - { name: two, address: 192.0.2.2, subnets: [10.244.2.0/24], offloadProofs: true }
  - { name: three, address: 192.0.2.3, subnets: [10.244.3.0/24] }
`);
  t.same(
    udp.peers.map(peer => peerLease(peer, udp).attributes.backendData),
    [{ RipstopOffloadProofs: 1 }, undefined],
  );
  const config = networkConfigOf(file);
  t.match(config, {
    backend: { type: 'vxlan', vni: 7, port: 8472 },
    single: { family: 6, underlay: undefined, device: 'flannel.7' },
  });
  t.equal(config.v4?.length, 0, 'without a network every subnet is inside');
  t.equal(config.v6, undefined);
  t.match(networkConfigOf(parse(`${MINIMAL}mode: udp\nunderlay: "fd31::1"\n`)), {
    backend: { type: 'udp', port: 8285 },
    single: { family: 6, underlay: 'fd31::1', device: 'flannel0' },
  });
});

t.test('the store reads the file again, and a wrong file changes nothing', async t => {
  const path = `${t.testdir()}/node.yaml`;
  const write = (text: string) => writeFileSync(path, `${MINIMAL}${text}`);
  const peer = (name: string, third: number) =>
    `{name: ${name}, address: 192.0.2.${third}, subnets: [10.244.${third}.0/24]}`;
  write(`peers: [${peer('a', 2)}]\n`);
  const store = new StaticStore(path, 'me');
  const attributes = { publicIp: '192.0.2.1', publicIpv6: undefined, backendType: 'vxlan' };
  const own = await store.acquire({
    config: store.parseConfig(),
    attributes: { ...attributes, backendData: undefined, backendV6Data: undefined },
    previous: undefined,
  });
  t.same([...store.leases.keys()], [own.key, 'a']);
  const { text } = await store.networkConfig();
  write(`peers: [${peer('a', 2)}, ${peer('b', 3)}]\n`);
  await store.reload(() => {});
  t.same([...store.leases.keys()], [own.key, 'a', 'b']);
  t.equal((await store.networkConfig()).text, text, 'peers do not belong to the configuration');
  write('peers: [{name: c, address: "fd31::3", subnets: [10.244.3.0/24]}]\n');
  await store.reload(() => {});
  t.not((await store.networkConfig()).text, text, 'the family of the underlay comes from the peers');
  t.equal(store.parseConfig().single?.family, 6);
  write(`peers: [${peer('a', 2)}, ${peer('b', 3)}]\n`);
  await store.reload(() => {});
  t.equal((await store.networkConfig()).text, text);
  write('prots: 1\n');
  await t.rejects(
    store.reload(() => {}),
    /node\.yaml: prots: unknown key/,
  );
  t.same([...store.leases.keys()], [own.key, 'a', 'b']);
  write('peers: []\n');
  const check = () => {
    throw new RipstopError('EUNDERLAY', 'no such interface');
  };
  await t.rejects(store.reload(check), /no such interface/);
  t.same([...store.leases.keys()], [own.key, 'a', 'b'], 'a file that the node cannot follow');
  write(`workers: 2\npeers: [${peer('b', 3)}]\n`);
  await store.reload(() => {});
  t.not((await store.networkConfig()).text, text);
  const { values } = store.parseConfig().settings;
  t.equal(new ResolvedSettings({ file: values }).values.workers, 2);
});

t.test('VTEP MACs', async t => {
  t.equal(vtepMac(1, '192.0.2.1'), vtepMac(1, '192.0.2.1'));
  t.equal(vtepMac(1, 'FD00::1'), vtepMac(1, 'fd00:0::1'), 'the same for every way of writing an address');
  t.not(vtepMac(1, '192.0.2.1'), vtepMac(2, '192.0.2.1'));
  t.equal(vtepMac(1, '192.0.2.1'), '36:28:ed:cd:fb:29', 'and for every version of Ripstop: peers rely on it');
  const all = new Set(Array.from({ length: 5000 }, (_, i) => vtepMac(1, `10.0.${i >> 8}.${i & 255}`)));
  t.equal(all.size, 5000);
  for (const mac of all)
    if ((Number.parseInt(mac.slice(0, 2), 16) & 3) !== 2) t.fail(`${mac} is not local unicast`);
});

// What is wrong, and what a person is told.
const WRONG: readonly (readonly [string, string, RegExp])[] = [
  ['unknown key', `${MINIMAL}subnet: 10.0.0.0/8`, /^subnet: unknown key; did you mean "subnets"\?$/],
  [
    'unknown key of a peer',
    `${MINIMAL}peers: [{name: a, adress: 192.0.2.1, subnets: [10.1.0.0/24]}]`,
    /^peers\[0\]\.adress: unknown key; did you mean "address"\?$/,
  ],
  [
    'unknown offload',
    `${MINIMAL}offloads: {udpgso: true}`,
    /^offloads\.udpgso: unknown key; did you mean "udpGso"\?$/,
  ],
  ['nothing', '', /^subnets: is missing; it takes list of subnet/],
  ['no object', '- a\n- b', /^configuration: must be an object$/],
  ['bad YAML', 'subnets: [10.244.1.0/24\nmode: vxlan\n', /^line 2, column \d+: /],
  ['a tab', 'subnets:\n\t- 10.244.1.0/24\n', /^line 2, column 1: /],
  ['a key twice', `${MINIMAL}vni: 1\nvni: 2\n`, /^line 3, column 1: Map keys must be unique/],
  [
    'peer without address',
    `${MINIMAL}peers: [{name: a, subnets: [10.1.0.0/24]}]`,
    /^peers\[0\]\.address: is missing; it takes an IP address/,
  ],
  [
    'peer without subnets',
    `${MINIMAL}peers: [{name: a, address: 192.0.2.1, subnets: []}]`,
    /^peers\[0\]\.subnets: is empty/,
  ],
  [
    'peer without name',
    `${MINIMAL}peers: [{address: 192.0.2.1, subnets: [10.1.0.0/24]}]`,
    /^peers\[0\]\.name: is missing/,
  ],
  [
    'bad address',
    `${MINIMAL}peers: [{name: a, address: 192.0.2.256, subnets: [10.1.0.0/24]}]`,
    /^peers\[0\]\.address: "192\.0\.2\.256" is not an IP address$/,
  ],
  [
    'host bits',
    'subnets: [10.244.1.1/24]',
    /^subnets\[0\]: 10\.244\.1\.1\/24 has bits set beyond its length; the subnet is 10\.244\.1\.0\/24$/,
  ],
  [
    'no length',
    'subnets: [10.244.1.0]',
    /^subnets\[0\]: "10\.244\.1\.0" is not a subnet; write 10\.244\.1\.0\/24/,
  ],
  ['bad length', 'subnets: [10.244.1.0/33]', /is not a subnet/],
  ['a number', 'subnets: [10]', /^subnets\[0\]: 10 is not a subnet/],
  [
    'two subnets of a family',
    'subnets: [10.244.1.0/24, 10.244.9.0/24]',
    /^subnets: 10\.244\.9\.0\/24 is the second of IPv4; give at most one of each family$/,
  ],
  ['bad setting', `${MINIMAL}workers: 99`, /^workers: 99 is not a whole number within 1\.\.32$/],
  [
    'group MAC',
    `${MINIMAL}mac: 01:00:5e:00:00:01`,
    /^mac: "01:00:5e:00:00:01" is not a unicast MAC address$/,
  ],
  ['bad port', `${MINIMAL}port: 70000`, /^port: 70000 is not a whole number within 1\.\.65535$/],
  ['bad VNI', `${MINIMAL}vni: 16777216`, /^vni: 16777216 is not a whole number within 0\.\.16777215$/],
  ['bad mode', `${MINIMAL}mode: vxlam`, /^mode: "vxlam" is not one of vxlan, udp; did you mean "vxlan"\?$/],
  [
    'long device',
    `${MINIMAL}device: a-device-name-too-long`,
    /^device: .* is not a device name; 1 to 15 bytes/,
  ],
  ['text for MTU', `${MINIMAL}mtu: big`, /^mtu: "big" is not a whole number within 68\.\.65535$/],
  [
    'two names',
    `${MINIMAL}peers: [{name: a, address: 192.0.2.1, subnets: [10.1.0.0/24]}, {name: a, address: 192.0.2.2, subnets: [10.2.0.0/24]}]`,
    /^peers\[1\]\.name: a second peer "a"; names are unique$/,
  ],
];

t.test('each mistake has one clear line', async t => {
  for (const [what, source, pattern] of WRONG) {
    let line = 'accepted';
    try {
      parse(source);
    } catch (error) {
      line = describeError(error).replace('node.yaml: ', '');
    }
    t.match(line, pattern, what);
    t.notMatch(line, /\n/, `${what}: one line`);
  }
});

t.test('a file is named in the message', async t => {
  const folder = t.testdir();
  t.throws(() => readText(`${folder}/nowhere.yaml`), {
    code: 'ENOENT',
    message: /nowhere\.yaml: cannot be read/,
  });
  writeFileSync(`${folder}/bad.yaml`, 'vni: 1\n');
  t.throws(() => new StaticStore(`${folder}/bad.yaml`, ''), {
    code: 'ECONFIG',
    message: /bad\.yaml: subnets: is missing/,
  });
  t.throws(() => readText(folder), { code: 'EISDIR' });
});
