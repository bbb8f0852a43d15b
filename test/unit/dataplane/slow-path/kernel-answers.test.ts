import t from 'tap';
import { viewOf } from '../../../../encap/wire/addresses.ts';
import { finish, sum } from '../../../../encap/wire/checksum.ts';
import * as ipv4 from '../../../../encap/wire/ipv4.ts';
import * as ipv6 from '../../../../encap/wire/ipv6.ts';
import {
  buildTooBig,
  buildUnreachable,
  type IcmpError,
} from '../../../../src/dataplane/slow-path/icmp-builder.ts';
import { answerNeighbour } from '../../../../src/dataplane/slow-path/neighbour-responder.ts';
import { mappedBytesOf, requireAddress } from '../../../../src/ip/address.ts';
import { parseMac } from '../../../../src/ip/mac.ts';
import { innerOf } from '../../../vectors/datagrams.ts';
import * as refused from '../../../vectors/kernel-icmp.ts';
import * as kernel from '../../../vectors/kernel-vxlan.ts';

/** The IP packet of a vector; with its TTL one lower, as a router has it that looked for the neighbour. */
function packetOf(vector: Uint8Array, routed: boolean): Uint8Array {
  const bytes = vector.slice(14);
  const view = viewOf(bytes);
  if (routed && ipv4.version(view, 0) === 4) {
    view.setUint8(8, view.getUint8(8) - 1);
    view.setUint16(10, 0);
    view.setUint16(10, finish(sum(view, 0, ipv4.headerBytes(view, 0), 0)));
  } else if (routed) ipv6.setHopLimit(view, 0, ipv6.hopLimit(view, 0) - 1);
  return bytes;
}

/** The ICMP message of the kernel's answer; of ICMPv6 without the checksum, which our kernel fills in. */
function messageOf(vector: Uint8Array): Uint8Array {
  const four = vector[12] === 0x08;
  const message = vector.slice(14 + (four ? 20 : 40));
  if (!four) viewOf(message).setUint16(2, 0);
  return message;
}

type Refusal = [
  name: string,
  packet: Uint8Array,
  routed: boolean,
  answer: Uint8Array,
  mtu: number,
  sender: string,
];

const CASES: Refusal[] = [
  ['host unreachable', refused.UNREACHABLE_PACKET_4, true, refused.HOST_UNREACHABLE, 0, '192.0.2.1'],
  ['address unreachable', refused.UNREACHABLE_PACKET_6, true, refused.ADDRESS_UNREACHABLE, 0, '2001:db8::1'],
  ['fragmentation needed', refused.TOO_BIG_PACKET_4, false, refused.FRAGMENTATION_NEEDED, 600, '192.0.2.1'],
  ['packet too big', refused.TOO_BIG_PACKET_6, true, refused.PACKET_TOO_BIG, 1300, '2001:db8::1'],
];

for (const [name, vector, routed, answer, mtu, sender] of CASES) {
  t.test(`${name}: byte for byte what the kernel sends`, async t => {
    const packet = packetOf(vector, routed);
    const ours: IcmpError | undefined =
      mtu > 0
        ? buildTooBig(viewOf(packet), 0, packet.length, mtu)
        : buildUnreachable(viewOf(packet), 0, packet.length);
    t.strictSame(ours?.message, messageOf(answer));
    t.strictSame(ours?.destination, mappedBytesOf(requireAddress(sender)));
    t.equal(ours?.family, packet[0]! >> 4);
  });
}

/** Answers as the capture's other node would: one address of each family, its VTEP MAC. */
function neighbours() {
  const asked: string[] = [];
  const known = new Map(
    ['10.244.2.0', 'fd00:10:244:2::'].map(text => [
      String(mappedBytesOf(requireAddress(text))),
      '0e:00:00:00:04:02',
    ]),
  );
  const answer = (view: DataView, off: number, length: number) =>
    answerNeighbour(view, off, length, address => {
      asked.push(String(address));
      const mac = known.get(String(address));
      return mac === undefined ? undefined : parseMac(mac);
    });
  return { answer, asked };
}

t.test('ARP: the reply is the kernel’s, byte for byte', async t => {
  const { answer, asked } = neighbours();
  const request = innerOf(kernel.ARP_REQUEST);
  t.strictSame(answer(viewOf(request), 0, request.length), innerOf(kernel.ARP_REPLY));
  t.strictSame(asked, [String(mappedBytesOf(requireAddress('10.244.2.0')))]);
});

t.test('ND: the advertisement is the kernel’s, byte for byte', async t => {
  const { answer } = neighbours();
  const solicitation = innerOf(kernel.SOLICITATION);
  // Somewhere inside a slab, as a descriptor points to it.
  const slab = new Uint8Array(new SharedArrayBuffer(512));
  slab.set(solicitation, 130);
  t.strictSame(answer(viewOf(slab), 130, solicitation.length), innerOf(kernel.ADVERTISEMENT));
});
