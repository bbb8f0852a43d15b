import t from 'tap';
import { deletionOf, readElement, type TaggedSet } from '../../../src/cni/rules/nft-elements.ts';

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
