import t from 'tap';
import { peerEntries } from '../../../../src/dataplane/tables/peer-entries.ts';
import { readPeer } from '../../../../src/dataplane/tables/peer-table.ts';
import { TablesWriter } from '../../../../src/dataplane/tables/writer.ts';
import { node } from './fixtures/peer-inputs.ts';

t.test('claims are worked out once for each object', async t => {
  const peer = node(1);
  t.equal(peerEntries(peer), peerEntries(peer));
  t.not(peerEntries(node(1)), peerEntries(peer), 'an equal one is looked at anew');
});

t.test('what a peer says twice it claims once', async t => {
  const { mac, subnets } = node(1);
  const claims = peerEntries(
    node(1, { stations: [mac!, { hi: 2, lo: 3 }], subnets: [...subnets, ...subnets] }),
  );
  t.same(
    claims.macs.map(({ what }) => what),
    [mac, { hi: 2, lo: 3 }],
  );
  t.same(
    claims.subnets.map(({ what }) => what),
    subnets,
  );
  t.equal(claims.vteps.length, 2);
});

t.test('a peer without a MAC has no VTEP, and its record none', async t => {
  const claims = peerEntries(node(1, { mac: undefined }));
  t.same([claims.macs, claims.vteps], [[], []]);
  t.equal(readPeer(claims.record, 0)!.mac, undefined);
});

t.test('a refusal is not remembered as claims', async t => {
  const wrong = node(1, { port: 0 });
  t.throws(() => peerEntries(wrong), { code: 'ECONFIG', message: /port 0/ });
  t.throws(() => peerEntries(wrong), { code: 'ECONFIG', message: /port 0/ });
});

t.test('known claims stand in the slot that the peer has now', async t => {
  const writer = new TablesWriter({ peers: 2, macs: 4, prefixes: 8, readers: 1 });
  const [one, two, three] = [node(1), node(2), node(3)];
  writer.publish([one, two]);
  writer.publish([two]);
  writer.publish([two, three]);
  writer.flush();
  const slot = writer.slots.of('node-2')!;
  t.same(readPeer(writer.view.peers, slot)!.address, two.address);
  t.same(readPeer(writer.view.peers, writer.slots.of('node-3')!)!.address, three.address);
});
