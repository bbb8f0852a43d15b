import t from 'tap';
import type { DataPlane } from '../../../src/dataplane/dataplane.ts';
import type { Node } from '../../../src/lab/topology.ts';
import { until } from '../../../src/lab/until.ts';
import {
  counted,
  DEVICE,
  overlayFor,
  overlayMtu,
  podAddress,
  verdicts,
  vtepMac,
} from '../../fixtures/agents/overlay.ts';
import { labFor } from '../../fixtures/lab.ts';
import { Random } from '../../fixtures/random.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';
import { captureFrames, dissect } from '../../fixtures/traffic/capture-frames.ts';
import * as wire from '../../fixtures/traffic/datagrams.ts';
import { inject, packetsOf } from '../../fixtures/traffic/inject.ts';

/*
 * Frames that no ordinary socket sends, put on the overlay device of node 1 and looked at on that of node 2: each arrives
 * byte for byte. VLAN tags among them, without needing a kernel that makes VLAN devices.
 */

const skip = skipUnless('root', 'netns', 'tun', 'ip', 'cc', 'tcpdump', 'tshark');

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');

/** IP packets with payloads that look like no transport, or like a broken one. */
function oddities(from: Node, to: Node): [string, Uint8Array][] {
  const random = new Random(4711);
  return ([4, 6] as const).flatMap((family): [string, Uint8Array][] => {
    const [source, destination] = [podAddress(from, family), podAddress(to, family)];
    const carry = (protocol: number, bytes: number) =>
      wire.ip(source, destination, protocol, random.bytes(bytes));
    const udp = (field: number[], bytes: number) => {
      const head = Uint8Array.of(0x12, 0x34, 0x56, 0x78, (bytes + 8) >> 8, (bytes + 8) & 255, ...field);
      return wire.ip(source, destination, 17, wire.join(head, random.bytes(bytes)));
    };
    const most = overlayMtu('vxlan', 4) - (family === 4 ? 20 : 40);
    const list: [string, Uint8Array][] = [
      ...[1, 2, 13, 64, 777, most].map((bytes): [string, Uint8Array] => [
        `SCTP of ${bytes}`,
        carry(132, bytes),
      ]),
      ['protocol 253', carry(253, 99)],
      ['no payload at all', carry(59, 0)],
      ['a TCP header cut short', carry(6, 11)],
      ['a TCP header that lies', carry(6, 40)],
      ['UDP with a wrong checksum', udp([0xde, 0xad], 50)],
      ['UDP with a wrong length', wire.put(udp([0xde, 0xad], 50), (family === 4 ? 20 : 40) + 5, 99)],
      ['UDP-Lite', carry(136, 30)],
      ['ESP', carry(50, 100)],
    ];
    if (family === 6)
      return [...list, ['hop-by-hop options', carry(0, 80)], ['a later fragment', carry(44, 80)]];
    const optioned = wire.put(carry(17, 60), 0, 0x47);
    const sum = ~wire.sum(wire.put(optioned, 10, 0, 0).slice(0, 28)) & 0xffff;
    return [
      ...list,
      ['UDP without a checksum', udp([0, 0], 51)],
      ['IPv4 options', wire.put(optioned, 10, sum >> 8, sum & 255)],
      ['a first fragment', wire.put(carry(17, 80), 6, 0x20, 0)],
      ['a later fragment', wire.put(carry(17, 80), 6, 0, 10)],
      ['a wrong IPv4 header checksum', wire.put(carry(132, 33), 10, 1, 2)],
    ];
  });
}

/** Sends frames on node 1 while node 2 is watched. @returns what came out there, IPv6 chatter of the kernel left out */
async function carried(
  nodes: readonly Node[],
  planes: readonly DataPlane[],
  send: () => void,
  frames: number,
) {
  const [, two] = nodes;
  const goal = counted(planes[1]!, 'forward') + frames;
  const device = planes[1]!.deviceName;
  return captureFrames(two!.ns, device, { direction: 'in', snap: 65_600 }, async () => {
    send();
    await until(`${frames} frames`, () => counted(planes[1]!, 'forward') >= goal).catch(error => {
      throw new Error(`${error.message} ${JSON.stringify(planes.map(verdicts))}`);
    });
  });
}

for (const mode of ['vxlan', 'udp'] as const) {
  t.test(`${mode}: frames that are neither TCP nor UDP pass untouched`, { skip }, async t => {
    const lab = labFor(t);
    const planes = await overlayFor(t, lab, { mode });
    const [one, two] = lab.nodes as [Node, Node];
    const all = oddities(one, two);
    const dress = (packet: Uint8Array, ...tags: number[]) =>
      mode === 'udp'
        ? packet
        : wire.ethernet(vtepMac(two), vtepMac(one), wire.etherType(packet), packet, ...tags);
    const fits = (packet: Uint8Array) => packet.length + 8 <= overlayMtu('vxlan', 4);
    const tagged = mode === 'udp' ? [] : [[7], [7, 8]];
    for (const tags of [[], ...tagged]) {
      for (const type of [0x0800, 0x86dd]) {
        const chosen = all.filter(
          ([, packet]) => wire.etherType(packet) === type && (tags.length === 0 || fits(packet)),
        );
        const frames = chosen.map(([, packet]) => dress(packet, ...tags));
        const send = () => inject(one.ns, DEVICE[mode], frames, { type });
        const arrived = packetsOf(await carried(lab.nodes, planes, send, frames.length)).map(hex);
        const name = `IPv${type === 0x0800 ? 4 : 6}${tags.length > 0 ? `, VLAN ${tags}` : ''}`;
        for (const [index, [what]] of chosen.entries())
          t.ok(arrived.includes(hex(frames[index]!)), `${name}: ${what}`);
        t.equal(arrived.length, frames.length, `${name}: and nothing else`);
      }
    }
  });
}

t.test('tagged GSO packet: cut into whole tagged segments', { skip }, async t => {
  const lab = labFor(t);
  lab.condition('wirecs');
  lab.condition('wirecs');
  const planes = await overlayFor(t, lab, { mode: 'vxlan' });
  const [one, two] = lab.nodes as [Node, Node];
  const verify = ['ip', 'tcp'].flatMap(layer => ['-o', `${layer}.check_checksum:TRUE`]);
  for (const family of [4, 6] as const) {
    const payload = new Random(family).bytes(20_000);
    const packet = wire.tcp(podAddress(one, family), podAddress(two, family), {
      sequence: 1,
      payload,
      checksum: 'unfinished',
    });
    const l4 = 14 + 4 + (family === 4 ? 20 : 40);
    const offload = {
      gsoType: family === 4 ? 1 : 4,
      gsoSize: 1380,
      headerBytes: l4 + 20,
      checksumStart: l4,
      checksumOffset: 16,
    };
    const frame = wire.ethernet(vtepMac(two), vtepMac(one), wire.etherType(packet), packet, 7);
    // What leaves node 1, before anyone merges again.
    const count = Math.ceil(payload.length / offload.gsoSize);
    const goal = counted(planes[1]!, 'forward') + count;
    const watch = { filter: 'udp port 8472', direction: 'out', snap: 65_600 } as const;
    const file = await captureFrames(one.ns, 'eth0', watch, async () => {
      inject(one.ns, DEVICE.vxlan, [frame], { offload, type: 0x8100 });
      await until('the segments', () => counted(planes[1]!, 'forward') >= goal).catch(error => {
        throw new Error(`${error.message} ${JSON.stringify(planes.map(verdicts))}`);
      });
    });
    const fields = ['vlan.id', 'tcp.checksum.status', 'tcp.seq_raw', 'tcp.payload'];
    const segments = dissect(file, fields, {
      filter: 'tcp',
      more: ['-d', 'udp.port==8472,vxlan', ...verify],
    });
    t.equal(segments.length, count, `IPv${family}: ${segments.length} segments`);
    t.ok(
      segments.every(([vlan, checksum]) => vlan === '7' && checksum === '1'),
      'each with the tag and a good checksum',
    );
    t.equal(segments.map(segment => segment[3]).join(''), hex(payload), 'together they are the payload');
  }
});

t.test(
  'a tagged packet that leaves no room for its tag is refused, not the whole path',
  { skip },
  async t => {
    const lab = labFor(t);
    const planes = await overlayFor(t, lab, { mode: 'vxlan' });
    const [one, two] = lab.nodes as [Node, Node];
    const large = wire.echoReply(podAddress(one, 4), podAddress(two, 4), 1450 - 28);
    const frame = (...tags: number[]) => wire.ethernet(vtepMac(two), vtepMac(one), 0x0800, large, ...tags);
    inject(one.ns, DEVICE.vxlan, [frame()]);
    await until('the untagged one to pass', () => counted(planes[1]!, 'forward') >= 1);
    inject(one.ns, DEVICE.vxlan, [frame(7)]);
    await until('the tagged one to be refused', () => counted(planes[0]!, 'too-big') >= 1);
    t.equal(planes[0]!.counters().loweredPaths, 0, 'the path is as wide as before');
  },
);
