import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import type { Namespace } from '../../../src/lab/namespace.ts';
import type { Lab, Node } from '../../../src/lab/topology.ts';
import { until } from '../../../src/lab/until.ts';
import { overlayMtu, podAddress } from '../../fixtures/agents/overlay.ts';
import { routedLabFor } from '../../fixtures/agents/routed.ts';
import { configurationOf, runReady } from '../../fixtures/agents/run-node.ts';
import { labFor } from '../../fixtures/lab.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

/* ICMP errors about the path MTU that a host forges which sees no packet of the tunnel, and true ones (RFC 5927, RFC 8899). */

const skip = skipUnless('root', 'netns', 'tun', 'ip', 'ping', 'python3', 'nft');
const WIDE = overlayMtu('vxlan', 4);
const FORGED = 600;
const NARROW = 1400;
/** What VXLAN over IPv4 takes of an outer packet. */
const OVERHEAD = 50;

/**
 * "Fragmentation needed" to argv 1 with the MTU of argv 3. It quotes UDP from argv 1 to argv 2 port 8472 for each source port
 * that follows, and an echo reply for the word `echo`.
 */
const FORGE = `
import socket, struct, sys
def total(data):
    s = sum(struct.unpack('!%dH' % (len(data) // 2), data))
    while s >> 16: s = (s & 0xffff) + (s >> 16)
    return ~s & 0xffff
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
for word in sys.argv[4:]:
    proto, inner = (1, bytes(8)) if word == 'echo' else (17, struct.pack('!HHHH', int(word), 8472, 1480, 0))
    ip = struct.pack('!BBHHHBBH4s4s', 0x45, 0, 1500, 0, 0x4000, 64, proto, 0, socket.inet_aton(sys.argv[1]), socket.inet_aton(sys.argv[2]))
    quote = ip + inner
    head = struct.pack('!BBHHH', 3, 4, 0, 0, int(sys.argv[3]))
    s.sendto(head[:2] + struct.pack('!H', total(head + quote)) + head[4:] + quote, (sys.argv[1], 0))
`;

const forge = (from: Namespace, victim: Node, peer: Node, quotes: readonly string[]) =>
  from.must(['python3', '-c', FORGE, victim.underlay[4], peer.underlay[4], `${FORGED}`, ...quotes]);

/** Source ports of a node's tunnel, which an attacker has to guess. */
const sourcePorts = ({ ns, underlay }: Node): string[] =>
  ns
    .must(['ss', '-Hlun', 'src', underlay[4]])
    .split('\n')
    .flatMap(line => /:(\d+)\s/.exec(line)?.[1] ?? [])
    .filter(port => port !== '8472');

/** Nodes with `ripstop run`, each with all others as its peers. */
async function nodesOf(t: Parameters<typeof labFor>[0], lab: Lab): Promise<[Node, Node]> {
  const folder = mkdtempSync(join(tmpdir(), 'rs-forged-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const [one, two] = lab.nodes as [Node, Node];
  for (const [node, peer] of [
    [one, two],
    [two, one],
  ] as const) {
    const file = join(folder, `node${node.index}.yaml`);
    writeFileSync(file, JSON.stringify(configurationOf(node, [peer])));
    await runReady(node.ns, file);
  }
  await until('full packets to pass', () => fits(one, two, WIDE));
  return [one, two];
}

const ping = (from: Node, to: Node, bytes: number): string => {
  const size = ['-M', 'do', '-s', `${bytes - 28}`];
  const { stdout, stderr } = from.pods[0]!.ns.attempt([
    ...['ping', '-n', '-c', '1', '-W', '1', ...size],
    podAddress(to, 4),
  ]);
  return stdout + stderr;
};
const fits = (from: Node, to: Node, bytes: number) => / 0% packet loss/.test(ping(from, to, bytes));
const isTold = (from: Node, to: Node, mtu: number) =>
  new RegExp(`mtu ?= ?${mtu}\\b`).test(ping(from, to, WIDE));
const kernelMtu = ({ ns }: Node, { underlay }: Node) =>
  /mtu (\d+)/.exec(ns.must(['ip', 'route', 'get', underlay[4]]))?.[1];
const podRoute = ({ pods }: Node, to: Node) => pods[0]!.ns.must(['ip', 'route', 'get', podAddress(to, 4)]);

t.test(
  'a forged error does not shrink a path (H13), a route that an administrator changes does',
  {
    skip,
  },
  async t => {
    const lab = labFor(t, { nodes: 3 });
    const attacker = lab.nodes[2]!.ns;
    const [one, two] = await nodesOf(t, lab);

    forge(attacker, one, two, ['8472']);
    t.equal(kernelMtu(one, two), undefined, 'nothing is believed about the socket whose port everyone knows');
    t.ok(fits(one, two, WIDE));

    const ports = sourcePorts(one);
    t.ok(ports.length > 10, `${ports.length} source ports`);
    forge(attacker, one, two, ports);
    t.equal(kernelMtu(one, two), `${FORGED}`, 'the kernel believes a guess of a source port');
    await until('a probe to refute it', () => fits(one, two, WIDE));
    t.notMatch(podRoute(one, two), 'mtu', 'the pod was told of no smaller MTU');
    forge(attacker, one, two, [...ports, 'echo']);
    t.ok(fits(one, two, WIDE), 'the next one has no effect');
    forge(attacker, two, one, ['echo']);
    t.equal(kernelMtu(two, one), `${FORGED}`, 'the kernel believes one about an echo without a guess');
    await until('a probe to refute it', () => fits(two, one, WIDE));

    const route = `route change 172.31.0.0/24 dev eth0 proto kernel src ${one.underlay[4]}`;
    one.ns.ip(`${route} mtu ${NARROW}`);
    await until('pods to be told of the MTU of the route', () => isTold(one, two, NARROW - OVERHEAD));
    t.ok(fits(one, two, NARROW - OVERHEAD));
  },
);

for (const [answers, block] of [
  ['echoes are answered', undefined],
  ['echoes are filtered', 'icmp type echo-request drop'],
] as const)
  t.test(`a smaller link in the middle shrinks a path, ${answers}`, { skip }, async t => {
    const lab = routedLabFor(t);
    const [one, two] = await nodesOf(t, lab);
    if (block)
      two.ns.must(
        ['nft', '-f', '-'],
        `table inet filter { chain input { type filter hook input priority 0; ${block}\n}\n}\n`,
      );
    lab.router.ip(`link set node2 mtu ${NARROW}`);
    await until('pods to be told', () => isTold(one, two, NARROW - OVERHEAD));
    t.ok(fits(one, two, NARROW - OVERHEAD));
  });

t.test('a smaller link and a forged error: the path shrinks to what the link carries', { skip }, async t => {
  const lab = routedLabFor(t);
  const [one, two] = await nodesOf(t, lab);
  lab.router.ip(`link set node2 mtu ${NARROW}`);
  forge(lab.router, one, two, sourcePorts(one));
  t.equal(kernelMtu(one, two), `${FORGED}`);
  await until('pods to be told', () => isTold(one, two, NARROW - OVERHEAD));
  t.ok(fits(one, two, NARROW - OVERHEAD));
});
