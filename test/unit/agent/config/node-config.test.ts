import { writeFileSync } from 'node:fs';
import t from 'tap';
import { parseNodeConfig, readNodeConfig, vtepMac } from '../../../../src/agent/node/config.ts';
import { findOverlap } from '../../../../src/agent/node/overlaps.ts';
import { describeError } from '../../../../src/base/errors.ts';
import { canonicalNetwork, covers } from '../../../../src/ip/prefix.ts';
import { seeded } from '../../../support/random.ts';
import { countReads } from '../../../support/traffic/reads.ts';

const MINIMAL = 'subnets: [10.244.1.0/24]\n';

t.test('what is left out is settled', async t => {
  const config = parseNodeConfig(MINIMAL);
  t.match(config, {
    mode: 'vxlan',
    port: 8472,
    vni: 1,
    device: 'flannel.1',
    underlay: 'auto',
    mtu: 'auto',
    gate: 'strict',
    flood: false,
    unfinishedChecksums: 'auto',
    namespace: '',
    peers: [],
    workers: 1,
    offloads: {
      csum: true,
      tso: true,
      uso: true,
      udpGso: true,
      udpGro: true,
      mergeTcp: true,
      mergeUdp: true,
    },
  });
  t.match(parseNodeConfig(`${MINIMAL}mode: udp\n`), { port: 8285, device: 'flannel0' });
  t.match(parseNodeConfig(`${MINIMAL}vni: 42\n`), { device: 'flannel.42' });
  t.equal(parseNodeConfig(`${MINIMAL}namespace: blue\n`).namespace, '/run/netns/blue');
  t.equal(parseNodeConfig(`${MINIMAL}namespace: /proc/1/ns/net\n`).namespace, '/proc/1/ns/net');
  t.same(parseNodeConfig('subnets: [10.244.1.0/024]').subnets, ['10.244.1.0/24']);
  t.match(parseNodeConfig(`${MINIMAL}offloads: { uso: false }\n`).offloads, { uso: false, tso: true });
});

t.test('addresses and subnets are read in their canonical form', async t => {
  const config = parseNodeConfig(`
subnets: ["FD00:1:0::/64"]
mac: 0A-0B-0C-0D-0E-0F
peers:
  - { name: two, address: "FD31:0:0::2", subnets: ["fd00:2::0/64", 10.244.2.0/24], port: 99 }
`);
  t.same(config.subnets, ['fd00:1::/64']);
  t.equal(config.mac, '0a:0b:0c:0d:0e:0f');
  t.match(config.peers, [
    {
      id: 'two',
      address: 'fd31::2',
      subnets: ['fd00:2::/64', '10.244.2.0/24'],
      port: 99,
      mac: vtepMac(1, 'fd31::2'),
    },
  ]);
  t.equal(
    parseNodeConfig(`${MINIMAL}mode: udp\npeers: [{name: a, address: 192.0.2.1, subnets: [10.1.0.0/24]}]`)
      .peers[0]?.mac,
    undefined,
  );
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
    'a peer inside a network',
    `${MINIMAL}networks: [10.0.0.0/8]\npeers: [{name: a, address: 10.9.1.9, subnets: [10.1.0.0/24]}]`,
    /^peers\[0\]\.address: 10\.9\.1\.9 lies in the pod subnet 10\.0\.0\.0\/8/,
  ],
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
    /^peers\[1\]: the name "a" is that of peer "a" as well/,
  ],
  [
    'two addresses',
    `${MINIMAL}peers: [{name: a, address: 192.0.2.1, subnets: [10.1.0.0/24]}, {name: b, address: 192.0.2.1, subnets: [10.2.0.0/24]}]`,
    /^peers\[1\]: the address 192\.0\.2\.1 port 8472 is that of peer "a" as well; each node has an underlay address of its own$/,
  ],
  [
    'two MACs',
    `${MINIMAL}peers: [{name: a, address: 192.0.2.1, mac: "0a:00:00:00:00:01", subnets: [10.1.0.0/24]}, {name: b, address: 192.0.2.2, mac: "0A:00:00:00:00:01", subnets: [10.2.0.0/24]}]`,
    /^peers\[1\]: the MAC 0a:00:00:00:00:01 is that of peer "a" as well/,
  ],
  [
    'overlap of peers',
    `${MINIMAL}peers: [{name: a, address: 192.0.2.1, subnets: [10.1.0.0/16]}, {name: b, address: 192.0.2.2, subnets: [10.2.0.0/16, 10.1.7.0/24]}]`,
    /^peers\[1\]\.subnets\[1\]: 10\.1\.7\.0\/24 overlaps 10\.1\.0\.0\/16 of peer "a"; a pod subnet belongs to one node$/,
  ],
  [
    'overlap with own',
    `${MINIMAL}peers: [{name: a, address: 192.0.2.1, subnets: [10.244.0.0/16]}]`,
    /^peers\[0\]\.subnets\[0\]: 10\.244\.0\.0\/16 overlaps 10\.244\.1\.0\/24 of this node/,
  ],
  [
    'two families',
    `${MINIMAL}peers: [{name: a, address: 192.0.2.1, subnets: [10.1.0.0/24]}, {name: b, address: "fd00::1", subnets: [10.2.0.0/24]}]`,
    /^peers\[1\]\.address: fd00::1 is of another family than 192\.0\.2\.1 of peer "a"/,
  ],
];

t.test('each mistake has one clear line', async t => {
  for (const [what, source, pattern] of WRONG) {
    let line = 'accepted';
    try {
      parseNodeConfig(source);
    } catch (error) {
      line = describeError(error);
    }
    t.match(line, pattern, what);
    t.notMatch(line, /\n/, `${what}: one line`);
  }
});

t.test('a file is named in the message', async t => {
  const folder = t.testdir();
  t.throws(() => readNodeConfig(`${folder}/nowhere.yaml`), {
    code: 'ENOENT',
    message: /nowhere\.yaml: cannot be read/,
  });
  writeFileSync(`${folder}/bad.yaml`, 'vni: 1\n');
  t.throws(() => readNodeConfig(`${folder}/bad.yaml`), {
    code: 'ECONFIG',
    message: /bad\.yaml: subnets: is missing/,
  });
  t.throws(() => readNodeConfig(folder), { code: 'EISDIR' });
});

t.test('overlaps are found as the slow way finds them, and a thousand peers are quick', async t => {
  const random = seeded(t);
  for (let round = 0; round < 300; round++) {
    const owned = Array.from({ length: random.between(1, 8) }, (_, index) => {
      const length = random.between(18, 24);
      const subnet = canonicalNetwork(`10.${random.between(0, 3)}.${random.between(0, 255)}.0/${length}`);
      return { subnet, where: `w${index}`, owner: `o${index}` };
    });
    const slow = owned.some((a, i) =>
      owned.some((b, j) => i !== j && (covers(a.subnet, b.subnet) || covers(b.subnet, a.subnet))),
    );
    const found = findOverlap(owned);
    t.equal(found !== undefined, slow, JSON.stringify(owned.map(entry => entry.subnet)));
    if (found) t.ok(covers(found[0].subnet, found[1].subnet) || covers(found[1].subnet, found[0].subnet));
  }
  const peers = Array.from({ length: 1000 }, (_, i) => ({
    name: `n${i}`,
    address: `172.16.${i >> 8}.${i & 255}`,
    subnets: [`10.${100 + (i >> 8)}.${i & 255}.0/24`, `fd00:${(i + 16).toString(16)}::/64`],
  }));
  t.equal(parseNodeConfig(JSON.stringify({ subnets: ['10.1.0.0/24'], peers })).peers.length, 1000);
  const owned = peers.flatMap(({ name, subnets }) =>
    subnets.map(subnet => ({ subnet, where: name, owner: name })),
  );
  const { wrapped, count } = countReads(owned);
  t.equal(findOverlap(wrapped), undefined);
  t.ok(count() <= 10 * owned.length, `${count()} reads of ${owned.length} subnets`);
});
