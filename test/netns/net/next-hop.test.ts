import t from 'tap';
import { outerFieldsTo } from '../../../src/net/next-hop.ts';
import { NetlinkSocket } from '../../../src/net/rtnetlink/socket.ts';
import { namespaceFor } from '../../fixtures/lab.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

/* What the kernel writes in front of a datagram: by route, settings and neighbour table. */

t.test(
  'hop limit and MACs follow route, settings and neighbours',
  { skip: skipUnless('root', 'netns', 'ip') },
  async t => {
    const ns = namespaceFor(t);
    ns.sysctl('net.ipv4.ip_default_ttl=60');
    ns.ip(
      'link add name a.1 address 02:00:00:00:00:01 type veth peer name b0 address 02:00:00:00:00:02',
      'link set a.1 up',
      'link set b0 up',
      'addr add 192.0.2.1/24 dev a.1',
      'addr add 2001:db8::1/64 dev a.1 nodad',
      'neigh add 192.0.2.2 lladdr 02:00:00:00:00:02 dev a.1 nud stale',
      'neigh add 192.0.2.9 lladdr 02:00:00:00:00:09 dev a.1 nud failed',
      'neigh add 2001:db8::2 lladdr 02:00:00:00:00:06 dev a.1',
      'route add 198.51.100.0/24 via 192.0.2.2 hoplimit 9',
    );
    ns.sysctl('net/ipv6/conf/a.1/hop_limit=33');
    const socket = new NetlinkSocket({ netns: ns.path });
    t.teardown(() => socket.close());
    const to = (address: string) => outerFieldsTo(socket, address);
    const sourceMac = '02:00:00:00:00:01';
    const known = { address: '192.0.2.2', hopLimit: 60, sourceMac, destinationMac: '02:00:00:00:00:02' };
    t.strictSame(to('192.0.2.2'), known);
    t.strictSame(to('198.51.100.7'), { ...known, address: '198.51.100.7', hopLimit: 9 }, 'by the gateway');
    const six = { address: '2001:db8::2', hopLimit: 33, destinationMac: '02:00:00:00:00:06' };
    t.strictSame(to('2001:db8::2'), { ...known, ...six });
    for (const address of ['192.0.2.9', '192.0.2.10'])
      t.strictSame(
        to(address),
        { ...known, address, destinationMac: undefined },
        'a neighbour that does not answer',
      );
    t.equal(to('203.0.113.1'), undefined, 'no route');
  },
);
