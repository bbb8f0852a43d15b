import t from 'tap';
import { macBytes, parseMac, randomMac } from '../../../src/ip/mac.ts';

t.test('MAC addresses are read', async t => {
  t.strictSame(parseMac('0E-1-2-a-b-C'), Uint8Array.of(0x0e, 1, 2, 10, 11, 12));
  const bad =
    '|01:02:03:04:05|01:02:03:04:05:06:07|01:02:03:04:05:0g|01:02:03-04:05:06|001:02:03:04:05:06|::::::';
  for (const text of bad.split('|')) t.equal(parseMac(text), undefined, JSON.stringify(text));
  t.throws(() => macBytes('x'), { code: 'ECONFIG', message: '"x" is not a MAC address' });
});

t.test('a random MAC is unicast and locally administered', async t => {
  const macs = Array.from({ length: 200 }, randomMac);
  for (const mac of macs) t.match(mac, /^[0-9a-f][26ae](:[0-9a-f]{2}){5}$/);
  t.equal(new Set(macs).size, macs.length);
});
