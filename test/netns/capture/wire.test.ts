import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import t from 'tap';
import { transfer } from '../../../bench/lab/transfer.ts';
import { viewOf } from '../../../encap/wire/addresses.ts';
import { ALL_OFFLOADS, type OffloadSwitches } from '../../../src/dataplane/io/offloads.ts';
import type { Node } from '../../../src/lab/topology.ts';
import { until } from '../../../src/lab/until.ts';
import { watchedNodes } from '../../fixtures/agents/watched-nodes.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';
import { sendBurst } from '../../fixtures/traffic/send-burst.ts';
import { readAll } from '../../unit/capture/fixtures/files.ts';

/*
 * What captures show as bytes of the wire, next to what tcpdump sees at the far end of an underlay whose devices neither
 * segment nor merge, nor leave a checksum to the receiver: there every datagram is whole. All bits are compared but those of
 * the fields that docs/guides/debug/commands.md names as not known.
 */

const skip = skipUnless('root', 'netns', 'tun', 'ip', 'ping', 'ethtool', 'tcpdump', 'mergecap');

type Offloads = Partial<OffloadSwitches>;
const NONE = Object.fromEntries(Object.keys(ALL_OFFLOADS).map(name => [name, false]));
const without = (name: keyof OffloadSwitches): Offloads => ({ [name]: false });
/** One alone, with those that it needs. */
const alone = (...names: (keyof OffloadSwitches)[]): Offloads => ({
  ...NONE,
  ...Object.fromEntries(names.map(name => [name, true])),
});

interface Round {
  readonly mode: 'vxlan' | 'udp';
  readonly underlay: 4 | 6;
  readonly remoteChecksum?: true;
  /** Offloads of node 1 and of node 2. */
  readonly offloads: readonly [Offloads, Offloads];
}

/*
 * Each node sends and receives, so that a round holds two sets of offloads. Every offload is off alone and on alone; each mode
 * has both families; remote checksums, which are vxlan's, meet all offloads that touch a checksum.
 */
const ROUNDS: readonly Round[] = [
  { mode: 'vxlan', underlay: 4, remoteChecksum: true, offloads: [{}, NONE] },
  { mode: 'udp', underlay: 6, offloads: [without('csum'), alone('csum')] },
  { mode: 'vxlan', underlay: 6, remoteChecksum: true, offloads: [without('tso'), alone('csum', 'tso')] },
  { mode: 'udp', underlay: 4, offloads: [without('uso'), alone('csum', 'tso', 'uso')] },
  { mode: 'vxlan', underlay: 4, offloads: [without('udpGso'), alone('udpGso')] },
  { mode: 'udp', underlay: 6, offloads: [without('udpGro'), alone('udpGro')] },
  { mode: 'vxlan', underlay: 6, offloads: [without('mergeTcp'), alone('mergeTcp')] },
  { mode: 'vxlan', underlay: 4, remoteChecksum: true, offloads: [without('mergeUdp'), alone('mergeUdp')] },
];

/** The payload of an echo that is sent last. */
const MARK = '5ca1ab1e';
const MARKED = Buffer.from(MARK.repeat(8), 'hex').toString('latin1');
const marks = (file: string) => readFileSync(file).toString('latin1').split(MARKED).length - 1;
const ETHERNET = 14;

/** Sets the fields of an outer IP packet to zero that its point does not know. @param ip offset of the packet */
function maskOuter(bytes: Uint8Array, ip: number, point: 'egress-outer' | 'ingress-outer'): void {
  const view = viewOf(bytes);
  const isSix = view.getUint8(ip) >> 4 === 6;
  if (point === 'egress-outer') {
    if (isSix) view.setUint32(ip, view.getUint32(ip) & 0xfff00000);
    return;
  }
  bytes.fill(0, 0, Math.min(ip, 12));
  if (isSix) return;
  view.setUint16(ip + 4, 0);
  view.setUint8(ip + 6, view.getUint8(ip + 6) & ~0x40);
  view.setUint16(ip + 10, 0); // the checksum of the header has both
}

/** Lines that only one of two lists has, as often as they are there. */
function difference(
  ours: readonly string[],
  theirs: readonly string[],
): { ours: string[]; theirs: string[] } {
  const left = new Map<string, number>();
  for (const line of theirs) left.set(line, (left.get(line) ?? 0) + 1);
  const only = ours.filter(line => {
    const count = left.get(line) ?? 0;
    if (count > 0) left.set(line, count - 1);
    return count === 0;
  });
  return { ours: only, theirs: [...left].flatMap(([line, count]) => Array(count).fill(line)) };
}

for (const { mode, underlay, remoteChecksum, offloads } of ROUNDS) {
  const name = `${mode} over IPv${underlay}${remoteChecksum ? ' with remote checksums' : ''}`;
  const [first, second] = offloads.map(set => JSON.stringify(set).replaceAll('"', ''));
  t.test(`${name}, offloads ${first} and ${second}: a capture has the wire's bytes`, { skip }, async t => {
    const nodes = await watchedNodes(t, index => ({ mode, offloads: offloads[index - 1] }), underlay);
    const { lab, one, two, folder, ripstop } = nodes;
    const other = (node: Node) => (node === one ? two : one);
    for (const node of lab.nodes)
      node.ns.must(['ethtool', '-K', 'eth0', 'tx-udp-segmentation', 'off', 'tx', 'off']);
    if (remoteChecksum)
      await Promise.all(
        lab.nodes.map(node => {
          const { index, underlay: addresses, subnet } = other(node);
          const peer = {
            name: `node${index}`,
            address: addresses[underlay],
            subnets: [subnet[4], subnet[6]],
          };
          return nodes.reload(node, { peers: [{ ...peer, remoteChecksum }] });
        }),
      );
    // TCP with congestion marks: the traffic class of its datagrams is not 0.
    for (const node of lab.nodes) node.pods[0]!.ns.sysctl('net.ipv4.tcp_ecn=1');
    // The kernel of node 1 sends with another TTL, by a setting and by a route.
    one.ns.sysctl('net.ipv4.ip_default_ttl=61', 'net.ipv6.conf.eth0.hop_limit=61');
    const [onLink, length] = underlay === 4 ? ['172.31.0.0/24', 32] : ['fd31::/64', 128];
    two.ns.ip(`route add ${one.underlay[underlay]}/${length} dev eth0 hoplimit 77`);
    t.ok(two.ns.must(['ip', `-${underlay}`, 'route']).includes(onLink));
    // The neighbours of the underlay are known from here on, and so are their MAC addresses.
    const address = two.pods[0]!.address;
    for (const node of lab.nodes)
      node.ns.must(['ping', '-c', '1', '-W', '10', other(node).underlay[underlay]]);

    const captures = lab.nodes.map(node =>
      ripstop(node, 'capture', '--write', `${folder}/n${node.index}.pcapng`, '--segments'),
    );
    const dumps = lab.nodes.map(node =>
      node.ns.launch([
        ...[
          'tcpdump',
          '-i',
          'eth0',
          '-Q',
          'in',
          '-U',
          '-B',
          '65536',
          '-w',
          `${folder}/wire${node.index}.pcap`,
        ],
        `udp port ${mode === 'vxlan' ? 8472 : 8285}`,
      ]),
    );
    await Promise.all(captures.map(proc => proc.saying(/capturing /)));
    await Promise.all(dumps.map(proc => proc.saying(/listening on/)));
    for (const [from, to] of [
      [one, two],
      [two, one],
    ] as const) {
      const pods = { from: from.pods[0]!.ns, to: to.pods[0]!.ns };
      await transfer({ ...pods, address: to.pods[0]!.address[4], bytes: 200_000 });
      await transfer({ ...pods, address: to.pods[0]!.address[6], bytes: 200_000 });
      for (const inner of [4, 6] as const) {
        const sender = { ns: from.pods[0]!.ns, address: from.pods[0]!.address[inner] };
        const burst = Array.from({ length: 12 }, (_, i) => new Uint8Array(i < 11 ? 1000 : 300).fill(i));
        sendBurst(sender, { address: to.pods[0]!.address[inner], port: 9 }, burst);
      }
    }
    // So many segments that a frame is sent in several messages: node 1 has all offloads but one.
    two.pods[0]!.ns.ip(`route change default via ${two.gateway[4]} advmss 200`);
    const small = { from: one.pods[0]!.ns, to: two.pods[0]!.ns, address: two.pods[0]!.address[4] };
    await transfer({ ...small, bytes: 60_000 });
    one.pods[0]!.ns.must(['ping', '-6', '-c', '1', '-W', '10', '-p', MARK, '-s', '64', address[6]]);
    for (const { index } of lab.nodes) {
      await until('the last echo at four points', () => marks(`${folder}/n${index}.pcapng.part`) >= 4);
      await until('the last echo in tcpdump', () => marks(`${folder}/wire${index}.pcap`) >= 1);
    }
    for (const dump of dumps) {
      await dump.stop('SIGINT');
      t.match(dump.stderr, /\b0 packets dropped by kernel/, 'tcpdump has all of them');
    }
    for (const proc of captures) {
      t.match(await proc.stop('SIGINT'), { code: 0 });
      t.match(proc.stderr, /\d+ packets captured, 0 lost/);
    }

    const wires = await Promise.all(
      lab.nodes.map(
        async ({ index }) => (await readAll(readFileSync(`${folder}/wire${index}.pcap`))).packets,
      ),
    );
    const link = mode === 'vxlan' ? ETHERNET : 0;
    const sent = new Set<string>();
    for (const node of lab.nodes) {
      const { packets, reader } = await readAll(readFileSync(`${folder}/n${node.index}.pcapng`));
      for (const point of ['egress-outer', 'ingress-outer'] as const) {
        const shown = packets.filter(packet => reader!.interfaces[packet.interface]?.name === point);
        // What this node sent is at the other one's device.
        const wire = wires[(point === 'egress-outer' ? other(node) : node).index - 1]!;
        const lines = (bytes: Uint8Array, ip: number) => {
          const copy = bytes.slice();
          maskOuter(copy, ip, point);
          return Buffer.from(copy).toString('hex');
        };
        const ours = shown.map(packet => lines(packet.bytes, link));
        const theirs = wire.map(packet => lines(packet.bytes.subarray(ETHERNET - link), link));
        t.ok(ours.length > 300, `node ${node.index}, ${point}: ${ours.length} datagrams`);
        const only = difference(ours, theirs);
        t.equal(only.ours.length + only.theirs.length, 0, `node ${node.index}, ${point}: bit for bit`);
        if (only.ours.length > 0)
          t.comment(`${only.ours[0]?.slice(0, 200)}\n${only.theirs[0]?.slice(0, 200)}`);
        if (point === 'egress-outer') {
          const gaps = shown.flatMap(packet => packet.comments?.filter(text => /not known/.test(text)) ?? []);
          t.strictSame(gaps, [], 'no field of a packet is left open');
        }
      }
    }
    if (remoteChecksum)
      t.ok(
        wires
          .flat()
          .some(({ bytes }) => viewOf(bytes).getUint16(ETHERNET + (underlay === 4 ? 28 : 48)) === 0x0820),
        'remote checksums were on the wire',
      );

    // Cause and effect: what node 1 sent is in front of what node 2 received, in the merged file.
    execFileSync('mergecap', ['-w', `${folder}/both.pcapng`, `${folder}/n1.pcapng`, `${folder}/n2.pcapng`]);
    const both = await readAll(readFileSync(`${folder}/both.pcapng`));
    const payload = (bytes: Uint8Array) =>
      Buffer.from(bytes.subarray(link + (underlay === 4 ? 20 : 40))).toString('hex');
    const early = both.packets.filter(packet => {
      const point = both.reader!.interfaces[packet.interface]?.name;
      if (point === 'egress-outer') sent.add(payload(packet.bytes));
      return point === 'ingress-outer' && !sent.has(payload(packet.bytes));
    });
    t.equal(early.length, 0, 'no datagram arrives before it leaves');
    for (const [index, proc] of captures.entries()) {
      const { packets } = await readAll(readFileSync(`${folder}/n${index + 1}.pcapng`));
      const back = packets.filter((packet, at) => at > 0 && packet.time < packets[at - 1]!.time).length;
      const late = Number(/(\d+) packets are not in the order/.exec(proc.stderr)?.[1] ?? 0);
      t.ok(back <= late, `node ${index + 1}: the file is in order, or the command says that it is not`);
    }
  });
}
