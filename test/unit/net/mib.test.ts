import t from 'tap';
import { parseMib } from '../../../src/net/mib.ts';

t.test('pairs of lines and single lines, under the names of nstat', async t => {
  const text = 'Udp: InDatagrams NoPorts\nUdp: 7 2\nUdpLite: InDatagrams NoPorts\nUdpLite: 0 0\n';
  t.strictSame(Object.fromEntries(parseMib(text)), {
    ...{ UdpInDatagrams: 7, UdpNoPorts: 2, UdpLiteInDatagrams: 0, UdpLiteNoPorts: 0 },
  });
  t.strictSame(Object.fromEntries(parseMib('Ip6InReceives                 \t12\nUdp6NoPorts\t3\n')), {
    Ip6InReceives: 12,
    Udp6NoPorts: 3,
  });
  t.equal(parseMib('').size, 0);
});
