import t from 'tap';
import { addressBytes } from '../../../src/ip/address.ts';
import { portsFrom, queueOf, spreadPorts, toeplitz } from '../../../src/measure/send/flows.ts';

/** "Verifying the RSS hash calculation", Microsoft: destination and port, source and port, hash with ports. */
const VERIFIED = [
  ['161.142.100.80', 1766, '66.9.149.187', 2794, 0x51ccc178],
  ['65.69.140.83', 4739, '199.92.111.2', 14230, 0xc626b0ea],
  ['12.22.207.184', 38024, '24.19.198.95', 12898, 0x5c2b394a],
  ['209.142.163.6', 2217, '38.27.205.30', 48228, 0xafc7327f],
  ['202.188.127.2', 1303, '153.39.163.191', 44251, 0x10e828a2],
  ['3ffe:2501:200:3::1', 1766, '3ffe:2501:200:1fff::7', 2794, 0x40207d3d],
  ['ff02::1', 4739, '3ffe:501:8::260:97ff:fe40:efab', 14230, 0xdde51bbf],
  ['fe80::200:f8ff:fe21:67cf', 38024, '3ffe:1900:4545:3:200:f8ff:fe21:67cf', 44251, 0x02d1feef],
] as const;

const word = (port: number) => [port >> 8, port & 255];

t.test('the Toeplitz hash is that of the published vectors', async t => {
  for (const [destination, port, source, sourcePort, hash] of VERIFIED) {
    const input = Uint8Array.of(
      ...addressBytes(source),
      ...addressBytes(destination),
      ...word(sourcePort),
      ...word(port),
    );
    t.equal(toeplitz(input), hash, `${source}:${sourcePort}`);
  }
});

t.test('spread flows are dealt out to all queues evenly', async t => {
  const ends = { source: addressBytes('10.0.0.1'), destination: addressBytes('10.0.0.2'), port: 5299 };
  for (const queues of [1, 3, 8, 128]) {
    const ports = spreadPorts(ends, queues * 2, queues);
    t.equal(new Set(ports).size, queues * 2);
    const counts = new Map<number, number>();
    for (const port of ports) {
      const queue = queueOf(ends, port, queues);
      counts.set(queue, (counts.get(queue) ?? 0) + 1);
    }
    t.same([...counts.values()], new Array(queues).fill(2), `${queues} queues`);
  }
});

t.test('consecutive ports begin again behind the last one', async t => {
  t.same(portsFrom(65_534, 4), [65_534, 65_535, 49_152, 49_153]);
});
