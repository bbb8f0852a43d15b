import t from 'tap';
import { CHECKOUT } from '../../../bench/lab/tool.ts';
import type { Node } from '../../../bench/lab/topology.ts';
import { until } from '../../../bench/lab/until.ts';
import { overlayFor, overlayMtu, podAddress } from '../../fixtures/agents/overlay.ts';
import type { Report } from '../../fixtures/agents/prober-program.ts';
import { labFor } from '../../fixtures/lab.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

/* Forged ICMP errors about the path MTU, sent by a host that sees no packet of the tunnel. */

const PROBER = `${CHECKOUT}dist/test/fixtures/agents/prober-program.js`;
const skip = skipUnless('root', 'netns', 'tun', 'ip', 'ping', 'python3');

/** "Fragmentation needed, MTU 600" to argv 1, quoting UDP from argv 1 to argv 2 port 8472, for each source port. */
const FORGE = `
import socket, struct, sys
def total(data):
    s = sum(struct.unpack('!%dH' % (len(data) // 2), data))
    while s >> 16: s = (s & 0xffff) + (s >> 16)
    return ~s & 0xffff
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
for port in map(int, sys.argv[3:]):
    ip = struct.pack('!BBHHHBBH4s4s', 0x45, 0, 1500, 0, 0x4000, 64, 17, 0, socket.inet_aton(sys.argv[1]), socket.inet_aton(sys.argv[2]))
    quote = ip + struct.pack('!HHHH', port, 8472, 1480, 0)
    head = struct.pack('!BBHHH', 3, 4, 0, 0, 600)
    s.sendto(head[:2] + struct.pack('!H', total(head + quote)) + head[4:] + quote, (sys.argv[1], 0))
`;

const forge = (from: Node, victim: Node, peer: Node, ports: readonly string[]) =>
  from.ns.must(['python3', '-c', FORGE, victim.underlay[4], peer.underlay[4], ...ports]);

/** Whether the prober of the agent, in the namespace of a node, gets an answer. */
function isAnswered({ ns }: Node, address: string, bytes: number): boolean {
  const { stdout } = ns.attempt([
    process.execPath,
    PROBER,
    'addon',
    JSON.stringify([{ echo: address, bytes }]),
  ]);
  return (JSON.parse(stdout) as Report).results.flat().some(ms => typeof ms === 'number');
}

const fits = ([from, to]: readonly [Node, Node], bytes: number) =>
  from.pods[0]!.ns.attempt([
    ...['ping', '-n', '-c', '1', '-W', '1', '-M', 'do', '-s', `${bytes - 28}`],
    podAddress(to, 4),
  ]).code === 0;

t.test('a forged ICMP error does not shrink a path (H13)', { skip }, async t => {
  const lab = labFor(t, { nodes: 3 });
  const [one, two, attacker] = lab.nodes as [Node, Node, Node];
  let isFull = true;
  const asked: number[] = [];
  const [plane] = await overlayFor(t, lab, {
    probePath: async (address, bytes) => {
      asked.push(bytes);
      return isFull && isAnswered(one, address, bytes);
    },
  });
  const ends = [one, two] as const;
  const wide = overlayMtu('vxlan', 4);
  const routeMtu = () => /mtu (\d+)/.exec(one.ns.must(['ip', 'route', 'get', two.underlay[4]]))?.[1];
  t.ok(fits(ends, wide), 'full packets pass');

  forge(attacker, one, two, ['8472']);
  t.equal(
    routeMtu(),
    undefined,
    'the kernel takes nothing for the receiving socket, whose port everyone has',
  );
  t.ok(fits(ends, wide));

  const ports = one.ns
    .must(['ss', '-Hlun', 'src', one.underlay[4]])
    .split('\n')
    .flatMap(line => /:(\d+)\s/.exec(line)?.[1] ?? [])
    .filter(port => port !== '8472');
  t.ok(ports.length > 10, `${ports.length} source ports`);
  forge(attacker, one, two, ports);
  t.equal(routeMtu(), '600', 'a guess of a source port is believed by the kernel');
  await until('the probe to refute it', () => fits(ends, wide));
  t.equal(plane!.counters().loweredPaths, 0);
  const before = asked.length;
  forge(attacker, one, two, ports);
  t.ok(fits(ends, wide), 'the next one has no effect at all');
  t.equal(asked[0], 1500);
  isFull = false;
  await until('the kernel’s hint to be checked by a probe', () => asked.length > before);
  await until('a hint that a probe confirms to count', () => plane!.counters().loweredPaths === 1);
});
