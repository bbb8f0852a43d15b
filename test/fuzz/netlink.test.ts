import t from 'tap';
import { NetError } from '../../src/net/error.ts';
import { readAddress } from '../../src/net/rtnetlink/addresses.ts';
import { readBridgeVlans } from '../../src/net/rtnetlink/bridge-vlans.ts';
import { readEvent } from '../../src/net/rtnetlink/events.ts';
import { readLink } from '../../src/net/rtnetlink/links.ts';
import { type Message, MessageWriter, splitMessages } from '../../src/net/rtnetlink/message.ts';
import { readNeighbour } from '../../src/net/rtnetlink/neighbours.ts';
import { readRoute } from '../../src/net/rtnetlink/routes.ts';
import { readOutcome } from '../../src/net/rtnetlink/socket.ts';
import { campaign, refusing } from './campaign/campaign.ts';

/* Answers that are cut, flipped or made up: read whole, or refused with EBADMSG; nothing else, and always an end. */

const readers: readonly ((message: Message) => unknown)[] = [
  readLink,
  readAddress,
  readRoute,
  readNeighbour,
  readBridgeVlans,
  readOutcome,
  readEvent,
];

/** A datagram of well-formed messages with the attributes that the readers look at. */
function sample(): Uint8Array {
  const link = new MessageWriter(16, 2, '').u8(0).u8(0).u16(1).u32(5).u32(0x11043).u32(0);
  link.attributeText(3, 'flannel.1').attributeU32(4, 1450).attribute(1, new Uint8Array(6)).attributeU8(16, 6);
  link.nested(18, info => {
    info.attributeText(1, 'vxlan').attributeText(4, 'bridge');
    info.nested(2, data => data.attributeU32(1, 7).attribute(4, new Uint8Array(4)).attributeU16Be(15, 4789));
    info.nested(5, data => data.attributeU8(4, 1).attributeU8(33, 1));
  });
  link.nested(26, vlans =>
    vlans.attribute(2, Uint8Array.of(6, 0, 1, 0)).attribute(2, Uint8Array.of(0, 0, 2, 0)),
  );
  const route = new MessageWriter(24, 2, '').u8(2).u8(16).u8(0).u8(0).u8(254).u8(3).u8(0).u8(1).u32(4);
  route.attribute(1, Uint8Array.of(10, 1, 0, 0)).attribute(18, Uint8Array.of(10, 0, ...new Uint8Array(16)));
  route.nested(8, metrics => metrics.attributeU32(2, 1400));
  route.nested(9, hops => {
    for (let i = 0; i < 2; i++) {
      const start = hops.length;
      hops
        .u16(0)
        .u8(0)
        .u8(0)
        .u32(3)
        .attribute(5, Uint8Array.of(10, 0, 0, i))
        .patchLength(start);
    }
  });
  const address = new MessageWriter(20, 2, '').u8(10).u8(64).u8(128).u8(0).u32(5);
  address.attribute(1, new Uint8Array(16)).attributeU32(8, 0x280).attributeText(3, 'eth0');
  const neighbour = new MessageWriter(28, 2, '').u8(2).u8(0).u16(0).u32(5).u16(128).u8(0).u8(1);
  neighbour.attribute(1, Uint8Array.of(10, 0, 0, 1)).attribute(2, new Uint8Array(6));
  const refusal = new MessageWriter(2, 0x300, '')
    .u32(0xffffffef)
    .u32(20)
    .u32(0)
    .u32(1)
    .u32(0)
    .attributeText(1, 'no');
  return Uint8Array.from([link, route, address, neighbour, refusal].flatMap(writer => [...writer.finish(1)]));
}

function readAll(bytes: Uint8Array): number {
  let read = 0;
  for (const message of splitMessages(bytes)) {
    for (const reader of readers) {
      try {
        reader(message);
        read++;
      } catch (error) {
        if (!(error instanceof NetError && error.code === 'EBADMSG')) throw error;
      }
    }
  }
  return read;
}

t.test('the sample itself is read', async t => {
  t.ok(readAll(sample()) > 5);
});

t.test('damaged answers', async t => {
  const whole = sample();
  let read = 0;
  for (let length = 0; length < whole.length; length++)
    refusing(() => readAll(whole.slice(0, length)), 'EBADMSG');
  await campaign(t, {
    name: 'netlink',
    seeds: [whole],
    pace: 8000,
    // Lengths and types are what a reader is led by.
    alter(random, bytes) {
      const copy = random.chance(0.1) ? random.bytes(random.between(0, 200)) : bytes.slice();
      for (let flips = random.between(1, 6); flips > 0 && copy.length > 0; flips--)
        copy[random.between(0, copy.length - 1)] = random.chance(0.5)
          ? random.between(0, 255)
          : random.pick([0, 1, 4, 255]);
      return copy;
    },
    parse: bytes =>
      refusing(() => {
        read += readAll(bytes);
      }, 'EBADMSG'),
  });
  t.ok(read > 1000 || process.env.RIPSTOP_FUZZ_INPUT !== undefined, `${read} read`);
});
