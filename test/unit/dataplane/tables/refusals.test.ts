import t from 'tap';
import { findMac } from '../../../../src/dataplane/tables/fdb.ts';
import { findPrefix4 } from '../../../../src/dataplane/tables/lpm.ts';
import { generationOf } from '../../../../src/dataplane/tables/tables.ts';
import { type PeerInput, TablesWriter } from '../../../../src/dataplane/tables/writer.ts';
import { mapped, node } from './fixtures/peer-inputs.ts';

const CAPACITY = { peers: 3, macs: 4, prefixes: 4, readers: 1 };
const OUTER = { family: 4, words: [10 << 24], length: 8 } as const;
const INNER = { family: 4, words: [0x0a010000], length: 16 } as const;

const refusals: { name: string; peers: PeerInput[]; code: string; says: RegExp[] }[] = [
  { name: 'an id twice', peers: [node(1), node(1)], code: 'ECONFIG', says: [/node-1 is listed twice/] },
  {
    name: 'an underlay address twice',
    peers: [node(1), node(2, { address: mapped(192, 168, 0, 1) })],
    code: 'EOVERLAP',
    says: [/node-1 and node-2/, /underlay address 192\.168\.0\.1/],
  },
  {
    name: 'a MAC twice',
    peers: [node(1), node(2, { mac: { hi: 0x0200, lo: 1 } })],
    code: 'EOVERLAP',
    says: [/node-1 and node-2/, /MAC 02:00:00:00:00:01/],
  },
  {
    name: 'an IPv4 subnet twice',
    peers: [node(1), node(2, { subnets: [{ family: 4, words: [0x0a000100], length: 24 }] })],
    code: 'EOVERLAP',
    says: [/node-1 and node-2/, /subnet 10\.0\.1\.0\/24/],
  },
  {
    name: 'an IPv6 subnet twice',
    peers: [node(1), node(2, { subnets: [{ family: 6, words: [0x20010db8, 1, 0, 0], length: 64 }] })],
    code: 'EOVERLAP',
    says: [/node-1 and node-2/, /subnet 2001:db8:0:1::\/64/],
  },
  {
    name: 'a subnet within another, the longer first',
    peers: [node(1, { subnets: [INNER] }), node(2, { subnets: [OUTER] })],
    code: 'EOVERLAP',
    says: [/10\.1\.0\.0\/16 of peer node-1 lies within 10\.0\.0\.0\/8 of peer node-2/],
  },
  {
    name: 'a subnet within another, the shorter first',
    peers: [node(1, { subnets: [OUTER] }), node(2, { subnets: [INNER] })],
    code: 'EOVERLAP',
    says: [/10\.1\.0\.0\/16 of peer node-2 lies within 10\.0\.0\.0\/8 of peer node-1/],
  },
  {
    name: 'bits beyond the length',
    peers: [node(1, { subnets: [{ family: 4, words: [0x0a000101], length: 24 }] })],
    code: 'ECONFIG',
    says: [/node-1: 10\.0\.1\.1\/24 has bits beyond/, /write 10\.0\.1\.0\/24/],
  },
  {
    name: 'a length that the family does not have',
    peers: [node(1, { subnets: [{ family: 4, words: [0], length: 33 }] })],
    code: 'ECONFIG',
    says: [/node-1/, /33/],
  },
  {
    name: 'a port that is none',
    peers: [node(1, { port: 65536 })],
    code: 'ECONFIG',
    says: [/node-1: port 65536/],
  },
  {
    name: 'an address of four bytes',
    peers: [node(1, { address: new Uint8Array(4) })],
    code: 'ECONFIG',
    says: [/4 bytes/, /give 16/],
  },
  {
    name: 'a header that does not fit',
    peers: [node(1, { header: new Uint8Array(9) })],
    code: 'ECONFIG',
    says: [/header of 9 bytes/],
  },
  {
    name: 'too many peers',
    peers: [node(1), node(2), node(3), node(4)],
    code: 'ECAPACITY',
    says: [/hold 3 peers and 4 are wanted/, /capacity\.peers to 4/],
  },
  {
    name: 'too many MACs',
    peers: [node(1, { stations: [2, 3, 4, 5].map(n => ({ hi: 9, lo: n })) })],
    code: 'ECAPACITY',
    says: [/hold 4 macs and 5/, /capacity\.macs to 5/],
  },
  {
    name: 'too many prefixes',
    peers: [node(1, { subnets: [1, 2, 3, 4, 5].map(n => ({ family: 4, words: [n << 24], length: 8 })) })],
    code: 'ECAPACITY',
    says: [/hold 4 prefixes and 5/, /capacity\.prefixes to 5/],
  },
];

for (const { name, peers, code, says } of refusals)
  t.test(`refuses ${name} and changes nothing`, async t => {
    const writer = new TablesWriter(CAPACITY);
    writer.publish([node(1)]);
    const generation = generationOf(writer.tables);
    const error = t.throws(() => writer.publish(peers), { code }) as { message: string; hint?: string };
    for (const part of says) t.match(`${error.message}; ${error.hint}`, part);
    t.equal(generationOf(writer.tables), generation);
    t.equal(writer.flush(), true, 'the refused list does not wait either');
    t.equal(findMac(writer.view.fdb, 0x0200, 1), 0);
  });

t.test('nesting can be allowed: the longest prefix wins', async t => {
  const writer = new TablesWriter(CAPACITY, { allowNested: true });
  writer.publish([node(1, { subnets: [OUTER] }), node(2, { subnets: [INNER] })]);
  t.equal(findPrefix4(writer.view.prefixes4, 0x0a010203), writer.slots.of('node-2'));
  t.equal(findPrefix4(writer.view.prefixes4, 0x0a020203), writer.slots.of('node-1'));
});

t.test('a peer may nest in itself and repeat itself', async t => {
  const writer = new TablesWriter(CAPACITY);
  t.equal(
    writer.publish([node(1, { subnets: [OUTER, INNER, OUTER], stations: [{ hi: 0x0200, lo: 1 }] })]),
    true,
  );
  t.equal(findPrefix4(writer.view.prefixes4, 0x0a010203), 0);
});
