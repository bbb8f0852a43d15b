import t from 'tap';
import { familyPorts, hostPortsOf, readConfig } from '../../../src/cni/meta/portmap/config.ts';
import { emptyResult } from '../../../src/cni/result/types.ts';
import { deletionOf, readElement, type TaggedSet } from '../../../src/cni/rules/nft-elements.ts';
import type { Call } from '../../../src/cni/skel/plugin.ts';

const read = (config: object) => readConfig({ config } as Call);
const V4 = ['!', '-d', '192.0.2.0/24'];
const NFT = ['ip', 'saddr', '1.2.3.4'];

t.test('back end without a name: conditions of iptables imply it (B5)', async t => {
  t.equal(read({}).backend, 'nftables');
  t.equal(read({ conditionsV4: NFT }).backend, 'nftables');
  for (const config of [
    { conditionsV4: V4 },
    { conditionsV6: ['-d', 'fc00::/7'] },
    { externalSetMarkChain: 'KUBE-MARK-MASQ' },
  ])
    t.equal(read(config).backend, 'iptables', JSON.stringify(config));
});

t.test(
  'options of the other back end: refused in the words of the reference, which name them (B5)',
  async t => {
    const external = { externalSetMarkChain: 'KUBE-MARK-MASQ' };
    const cases: [object, string][] = [
      [
        { backend: 'nftables', ...external, conditionsV4: ['-s', '1.2.3.4'], conditionsV6: ['-s', '12::34'] },
        'nftables backend was requested but configuration contains iptables-specific options [externalSetMarkChain conditionsV4 conditionsV6]',
      ],
      [
        { backend: 'iptables', conditionsV4: NFT, conditionsV6: ['ip6', 'saddr', '12::34'] },
        'iptables backend was requested but configuration contains nftables-specific options [conditionsV4 conditionsV6]',
      ],
      [
        { conditionsV4: V4, conditionsV6: ['ip6', 'saddr', '12::34'] },
        'iptables backend was requested but configuration contains nftables-specific options [conditionsV6]',
      ],
      [{ ...external, markMasqBit: 13 }, 'Cannot specify externalSetMarkChain and markMasqBit'],
    ];
    for (const [config, message] of cases) t.throws(() => read(config), { code: 7, message });
    t.equal(read(external).mark, 2 ** 13);
    t.equal(read({ markMasqBit: 0 }).mark, 1);
  },
);

t.test('ports outside of 1..65535: refused', async t => {
  const ports = (hostPort: number, containerPort: number) => () =>
    read({ runtimeConfig: { portMappings: [{ hostPort, containerPort }] } });
  t.throws(ports(0, 80), { code: 7, message: 'Invalid host port number: 0' });
  t.throws(ports(80, -1), { code: 7, message: 'Invalid container port number: -1' });
  t.throws(ports(70000, 80), { code: 'ECONFIG', message: /hostPort: 70000 is not/ });
});

t.test("several interfaces in the sandbox: the host port leads to the attachment's own (B6)", async t => {
  const config = read({ runtimeConfig: { portMappings: [{ hostPort: 8080, containerPort: 80 }] } });
  const result = {
    ...emptyResult(),
    interfaces: [
      { name: 'eth0' },
      { name: 'net1', sandbox: '/run/netns/pod' },
      { name: 'eth0', sandbox: '/run/netns/pod' },
    ],
    ips: [
      { address: '10.0.1.1/24', interface: 0 },
      { address: '10.0.3.3/24', interface: 1 },
      { address: '10.0.2.2/24', interface: 2 },
      { address: 'fd00:3::3/64', interface: 1 },
      { address: 'fd00:2::2/64' },
    ],
  };
  const addresses = (ifname: string) =>
    familyPorts(hostPortsOf(config, result, ifname)).map(({ cidr }) => cidr);
  t.same(addresses('eth0'), ['10.0.2.2/24', 'fd00:2::2/64'], 'an address of no interface counts');
  t.same(addresses('net1'), ['10.0.3.3/24', 'fd00:3::3/64']);
});

const comment = 'rs tag';
const ports: TaggedSet = {
  name: 'hostports4_at',
  key: ['ipv4_addr', 'inet_proto', 'inet_service'],
  value: ['ipv4_addr', 'inet_service'],
};
const bytes = (...values: number[]) => Uint8Array.from(values);
const ifname = (name: string) => Uint8Array.from({ length: 16 }, (_, i) => name.charCodeAt(i) || 0);

t.test('keys and values are read as nft writes them, and deleted by the same key', async t => {
  const key = bytes(192, 0, 2, 1, 17, 0, 0, 0, 31, 144, 0, 0);
  const element = readElement(ports, { key, value: bytes(10, 1, 0, 2, 0, 80, 0, 0), comment })!;
  const expected = {
    set: 'hostports4_at',
    key: ['192.0.2.1', 'udp', 8080],
    value: ['10.1.0.2', 80],
    comment,
  };
  t.strictSame(element, expected);
  t.match(deletionOf('inet', element), {
    delete: { element: { name: 'hostports4_at', elem: [{ concat: ['192.0.2.1', 'udp', 8080] }] } },
  });
  const single = readElement(
    { name: 'pods4', key: ['ipv4_addr'] },
    { key: bytes(10, 1, 0, 2), value: undefined, comment },
  )!;
  t.match(deletionOf('inet', single), { delete: { element: { name: 'pods4', elem: ['10.1.0.2'] } } });
  const port: TaggedSet = { name: 'p', key: ['inet_proto', 'inet_service'] };
  t.match(readElement(port, { key: bytes(99, 0, 0, 0, 0, 1, 0, 0), value: undefined, comment }), {
    key: [99, 1],
  });
  const pair = { key: bytes(...ifname('cni0'), ...ifname('cni1')), value: undefined, comment };
  t.match(readElement({ name: 'open', key: ['ifname', 'ifname'] }, pair), { key: ['cni0', 'cni1'] });
  const v6 = { key: bytes(0xfd, ...Array<number>(14).fill(0), 1), value: undefined, comment };
  t.match(readElement({ name: 'pods6', key: ['ipv6_addr'] }, v6), { key: ['fd00::1'] });
});

t.test('elements of a set of another form are not read', async t => {
  for (const length of [0, 4, 8, 9, 16])
    t.equal(readElement(ports, { key: new Uint8Array(length), value: undefined, comment }), undefined);
});
