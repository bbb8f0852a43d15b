import t from 'tap';
import { Prober } from '../../src/agent/probe/prober.ts';
import type { Family } from '../../src/ip/address.ts';
import type { EchoListener } from '../../src/net/echo-socket.ts';
import { NetError } from '../../src/net/error.ts';
import { readElements, readRule } from '../../src/net/nft/comments.ts';
import { readAddress } from '../../src/net/rtnetlink/addresses.ts';
import { readBridgeVlans } from '../../src/net/rtnetlink/bridge-vlans.ts';
import { readEvent } from '../../src/net/rtnetlink/events.ts';
import { readLink } from '../../src/net/rtnetlink/links.ts';
import {
  type Message,
  MessageWriter,
  netfilterRequest,
  splitMessages,
} from '../../src/net/rtnetlink/message.ts';
import { readNeighbour } from '../../src/net/rtnetlink/neighbours.ts';
import { readRoute } from '../../src/net/rtnetlink/routes.ts';
import { readOutcome } from '../../src/net/rtnetlink/socket.ts';
import { campaign, refusing } from './campaign/campaign.ts';

/* Netlink answers that are cut, flipped or made up: read whole, or refused with EBADMSG; nothing else, and always an end. */

const readers: readonly ((message: Message) => unknown)[] = [
  readLink,
  readAddress,
  readRoute,
  readNeighbour,
  readBridgeVlans,
  readOutcome,
  readEvent,
  readRule,
  readElements,
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
  const comment = Uint8Array.of(0, 2, 0x78, 0);
  const rule = netfilterRequest(0xa06, 1, '').attributeText(2, 'chain').attribute(3, new Uint8Array(8));
  rule.attribute(7, comment);
  const elements = netfilterRequest(0xa0c, 1, '').nested(3, list =>
    list.nested(1, element => {
      element.nested(1, key => key.attribute(1, Uint8Array.of(6, 0, 0, 0, 31, 144, 0, 0)));
      element.nested(2, value => value.attribute(1, new Uint8Array(8))).attribute(6, comment);
    }),
  );
  const refusal = new MessageWriter(2, 0x300, '')
    .u32(0xffffffef)
    .u32(20)
    .u32(0)
    .u32(1)
    .u32(0)
    .attributeText(1, 'no');
  return Uint8Array.from(
    [link, route, address, neighbour, rule, elements, refusal].flatMap(writer => [...writer.finish(1)]),
  );
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

/*
 * Replies to the probes as a stranger may send them: anything that reaches a raw ICMP socket. Only a reply with the identifier
 * and a sequence number that is awaited ends an echo.
 */

const REPLY: Readonly<Record<Family, number>> = { 4: 0, 6: 129 };
const HEADER: Readonly<Record<Family, number>> = { 4: 20, 6: 0 };

/** A prober whose socket keeps what it sends, with one echo that is awaited. */
function waiting(family: Family) {
  let listener: EchoListener | undefined;
  let sent = Buffer.alloc(0);
  const open = (_family: Family, _id: number, to: EchoListener) => {
    listener = to;
    const send = (_to: string, message: Buffer) => {
      sent = Buffer.from(message);
    };
    return { send, close: () => {} };
  };
  const prober = new Prober({ sockets: { name: 'addon', open } });
  const begin = () => prober.echo(family === 4 ? '192.0.2.1' : '2001:db8::1', 84, 2 ** 31 - 1);
  let elapsed = begin();
  return {
    again: () => {
      elapsed = begin();
    },
    request: () => sent,
    take: (packet: Uint8Array, ageMs: number) => listener?.onPacket(packet, ageMs),
    isWaiting: () => listener?.isWaiting() ?? false,
    elapsed: () => elapsed,
  };
}

/** The reply to the echo that is awaited. */
function replyTo(family: Family, request: Buffer): Buffer {
  const reply = Buffer.concat([Buffer.alloc(HEADER[family], 0x45), request]);
  reply[HEADER[family]] = REPLY[family];
  return reply;
}

for (const family of [4, 6] as const) {
  t.test(`replies to ICMP echoes over IPv${family}`, async t => {
    const echo = waiting(family);
    await campaign(t, {
      name: `icmp${family}`,
      // The identifier of a run is random: these bytes are changed into those of the awaited reply.
      seeds: [new Uint8Array(0), new Uint8Array(28), new Uint8Array(92)],
      leastAccepted: 3,
      async parse(changes) {
        const packet = replyTo(family, echo.request());
        for (const [at, change] of changes.entries()) if (at < packet.length) packet[at]! ^= change;
        const cut = changes.at(-1) === 255 ? packet.subarray(0, changes.length) : packet;
        const at = HEADER[family] === 0 ? 0 : ((cut[0] ?? 0) & 15) * 4;
        const isAnswer =
          cut.length >= at + 8 &&
          cut[at] === REPLY[family] &&
          cut.subarray(at + 4, at + 8).equals(echo.request().subarray(4, 8));
        echo.take(cut, (changes[1] ?? 0) * 1e5);
        if (echo.isWaiting() === isAnswer) throw new Error(isAnswer ? 'not taken' : 'taken for the reply');
        if (!isAnswer) return false;
        const elapsed = await echo.elapsed();
        if (!((elapsed ?? -1) >= 0)) throw new Error(`a round trip of ${elapsed} ms`);
        echo.again();
        return true;
      },
    });
    // The last echo is still awaited: its timer would keep the process.
    echo.take(replyTo(family, echo.request()), 0);
  });
}
