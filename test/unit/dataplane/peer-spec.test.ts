import t from 'tap';
import { PeerInputs, type PeerSpec } from '../../../src/dataplane/peer-spec.ts';

const OVERLAY = {
  mode: 'vxlan',
  address: '192.168.0.1',
  vni: 1,
  port: 8472,
  underlayMtu: 1500,
  mtu: 1450,
} as const;
const peer = (n: number, change: Partial<PeerSpec> = {}): PeerSpec => ({
  id: `node${n}`,
  address: `192.168.0.${n}`,
  mac: `02:00:00:00:00:0${n}`,
  subnets: [`10.244.${n}.0/24`],
  ...change,
});

t.test('who is told again unchanged stays the same object', async t => {
  const inputs = new PeerInputs(OVERLAY);
  const [two, three] = inputs.of([peer(2), peer(3)]);
  const [again, moved] = inputs.of([peer(2), peer(3, { address: '192.168.0.33' })]);
  t.equal(again, two);
  t.not(moved, three);
  t.equal(moved!.address[15], 33);
});

t.test('a peer whose own addresses alone change: its record has the new ones', async t => {
  const inputs = new PeerInputs(OVERLAY);
  const former = inputs.one(peer(2, { hosts: ['192.168.0.2', 'fd00::2'] }));
  const now = inputs.one(peer(2, { hosts: ['192.168.0.2', 'fd00::22'] }));
  t.equal(former.host6!.at(-1), 2);
  t.equal(now.host6!.at(-1), 0x22);
  t.equal(inputs.one(peer(2)).host6, undefined, 'gone with the address');
});

t.test('who vanishes is forgotten', async t => {
  const inputs = new PeerInputs(OVERLAY);
  const [two] = inputs.of([peer(2)]);
  inputs.of([]);
  t.not(inputs.of([peer(2)])[0], two);
});

t.test('a peer of the other family, or without the MAC that vxlan needs', async t => {
  const inputs = new PeerInputs(OVERLAY);
  t.throws(() => inputs.of([peer(2, { address: 'fd00::2' })]), {
    code: 'ECONFIG',
    message: /no IPv4 address/,
  });
  t.throws(() => inputs.of([peer(2, { mac: undefined })]), { code: 'ECONFIG', message: /no VTEP MAC/ });
  t.equal(new PeerInputs({ ...OVERLAY, mode: 'udp' }).of([peer(2, { mac: undefined })]).length, 1);
});
