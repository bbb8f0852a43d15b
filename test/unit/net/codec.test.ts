import t from 'tap';
import { addressBytes } from '../../../src/ip/address.ts';
import { addressText, networkBytes, prefixBytes } from '../../../src/net/address-bytes.ts';
import { NetError } from '../../../src/net/error.ts';
import {
  eachAttribute,
  readAttributes,
  readNested,
  readText,
  readU16Be,
  readU32,
} from '../../../src/net/rtnetlink/attributes.ts';
import { addBridgeVlan, deleteBridgeVlan, readBridgeVlans } from '../../../src/net/rtnetlink/bridge-vlans.ts';
import { readLink } from '../../../src/net/rtnetlink/links.ts';
import { MessageWriter, splitMessages } from '../../../src/net/rtnetlink/message.ts';
import { readRoute } from '../../../src/net/rtnetlink/routes.ts';
import { type NetlinkSocket, readOutcome } from '../../../src/net/rtnetlink/socket.ts';

/*
 * Vectors are written out from the structures in linux/netlink.h, rtnetlink.h and if_link.h; they hold on a
 * little-endian machine, whose byte order netlink uses.
 */

const hex = (text: string) =>
  Uint8Array.from(text.replace(/\/\/.*$/gm, '').match(/[0-9a-f]{2}/g) ?? [], x => Number.parseInt(x, 16));

t.test('a request on the wire', async t => {
  const writer = new MessageWriter(24, 0x400, 'add route').u8(2).u8(24).bytes(new Uint8Array(10));
  writer
    .attribute(1, Uint8Array.of(10, 1, 2, 0))
    .attributeText(3, 'eth0')
    .attributeU16(9, 0x1234);
  writer.attributeU16Be(15, 4789).attribute(23, new Uint8Array(0));
  writer.nested(8, metrics => metrics.attributeU32(2, 1400));
  t.same(
    writer.finish(7, 4),
    hex(
      `
      50 00 00 00  18 00 05 04  07 00 00 00  00 00 00 00 // length 80, type 24, CREATE|ACK|REQUEST, sequence 7
      02 18 00 00 00 00 00 00 00 00 00 00
      08 00 01 00 0a 01 02 00
      09 00 03 00 65 74 68 30 00 00 00 00                // five bytes of text, three of padding
      06 00 09 00 34 12 00 00
      06 00 0f 00 12 b5 00 00                            // network order
      04 00 17 00
      0c 00 08 80 08 00 02 00 78 05 00 00                // NLA_F_NESTED
    `,
    ),
  );
});

t.test('a long request grows', async t => {
  const writer = new MessageWriter(1, 0, 'long');
  for (let i = 0; i < 100; i++) writer.attribute(i + 1, new Uint8Array(60).fill(i));
  const bytes = writer.finish(1);
  t.equal(bytes.length, 16 + 100 * 64);
  const [message] = splitMessages(bytes);
  const all = readAttributes(message!.payload);
  t.equal(all.size, 100);
  t.same(all.get(100), new Uint8Array(60).fill(99));
});

t.test('a link in an answer', async t => {
  const [message] = splitMessages(
    hex(`
      68 00 00 00  10 00 02 00  01 00 00 00  39 05 00 00
      00 00 01 00  05 00 00 00  43 10 01 00  00 00 00 00 // Ethernet, index 5, UP|BROADCAST|RUNNING|MULTICAST|LOWER_UP
      0e 00 03 00  66 6c 61 6e 6e 65 6c 2e 31 00 00 00   // flannel.1
      08 00 04 00  aa 05 00 00                           // MTU 1450
      0a 00 01 00  0a 11 22 33 44 55 00 00
      05 00 10 00  06 00 00 00                           // operational state up
      1c 00 12 00                                        // LINKINFO
        0a 00 01 00 76 78 6c 61 6e 00 00 00              // vxlan
        0c 00 02 00 08 00 01 00 01 00 00 00              // DATA: id 1
    `),
  );
  t.match(readLink(message!), {
    index: 5,
    name: 'flannel.1',
    type: 1,
    kind: 'vxlan',
    up: true,
    running: true,
    operational: 'up',
    mtu: 1450,
    mac: '0a:11:22:33:44:55',
    details: { vxlan: { vni: 1, local: undefined } },
  });
});

t.test('a route in an answer', async t => {
  const [message] = splitMessages(
    hex(`
      44 00 00 00  18 00 02 00  01 00 00 00  39 05 00 00
      02 18 00 00  fe 03 00 01  04 00 00 00              // IPv4, /24, main, boot, universe, unicast, onlink
      08 00 0f 00  fe 00 00 00
      08 00 01 00  0a f4 02 00
      08 00 05 00  0a f4 02 00
      08 00 04 00  05 00 00 00
      08 00 06 00  64 00 00 00
    `),
  );
  t.match(readRoute(message!), {
    family: 4,
    destination: '10.244.2.0/24',
    gateway: '10.244.2.0',
    link: 5,
    metric: 100,
    onlink: true,
    table: 254,
    protocol: 3,
    type: 'unicast',
  });
});

t.test('acknowledgements and refusals', async t => {
  const ack = {
    type: 2,
    flags: 0x100,
    sequence: 1,
    payload: hex('00 00 00 00 20 00 00 00 18 00 05 06 01 00 00 00 00 00 00 00'),
  };
  t.same(readOutcome(ack), { errno: 0, text: '' });
  const words = '0f 00 01 00 6e 6f 20 67 61 74 65 77 61 79 00 00';
  const capped = {
    type: 2,
    flags: 0x300,
    sequence: 1,
    payload: hex(`9b ff ff ff 20 00 00 00 18 00 05 06 01 00 00 00 00 00 00 00 ${words}`),
  };
  t.same(readOutcome(capped), { errno: 101, text: 'no gateway' });
  const whole = {
    type: 2,
    flags: 0x200,
    sequence: 1,
    payload: hex(`ef ff ff ff 14 00 00 00 18 00 05 06 01 00 00 00 00 00 00 00 01 02 03 04 ${words}`),
  };
  t.same(readOutcome(whole), { errno: 17, text: 'no gateway' }, 'the request is repeated before the words');
  const done = { type: 3, flags: 0x202, sequence: 1, payload: hex(`ea ff ff ff ${words}`) };
  t.same(readOutcome(done), { errno: 22, text: 'no gateway' }, 'a dump that ends in a failure');
  t.same(readOutcome({ type: 3, flags: 2, sequence: 1, payload: new Uint8Array(0) }), { errno: 0, text: '' });
  t.throws(() => readOutcome({ type: 2, flags: 0, sequence: 1, payload: hex('00 00') }), { code: 'EBADMSG' });

  const error = new NetError(17, 'add route 10.0.0.0/8');
  t.match(error, { code: 'EEXIST', errno: 17, kernelText: '' });
  t.equal(error.message, 'add route 10.0.0.0/8: it exists already (EEXIST)');
  t.equal(new NetError(22, 'x', 'Invalid prefix').message, 'x: Invalid prefix (EINVAL)');
});

t.test('message or attribute with a wrong length: refused', async t => {
  const refuse = (bytes: string, read: (bytes: Uint8Array) => unknown, pattern: RegExp) =>
    t.throws(() => read(hex(bytes)), { code: 'EBADMSG', message: pattern }, bytes);
  refuse('08 00 01 00 01', readAttributes, /attribute 1 at byte 0 claims 8 bytes of 5/);
  refuse('03 00 01 00', readAttributes, /claims 3 bytes/);
  refuse('00 00 00 00', readAttributes, /claims 0 bytes/);
  refuse('04 00 01 00 05 00', readAttributes, /2 bytes after the last/);
  refuse('20 00 00 00 10 00 00 00 01 00 00 00 00 00 00 00', splitMessages, /claims 32 bytes of 16/);
  refuse('0f 00 00 00 10 00 00 00 01 00 00 00 00 00 00 00', splitMessages, /claims 15 bytes/);
  refuse('10 00 00 00', splitMessages, /4 bytes after/);
  refuse('06 00 01 00 01 02 00 00', bytes => readU32(readAttributes(bytes), 1), /has 2 bytes, 4 are needed/);
  const seen: number[] = [];
  eachAttribute(hex('04 00 02 00 05 00 02 80 07 00 00 00'), 0, type => seen.push(type));
  t.same(seen, [2, 2], 'repeated types are all seen, flag bits do not belong to the type');
  const all = readAttributes(hex('07 00 01 00 61 00 62 00 06 00 02 00 12 b5 00 00'));
  t.equal(readText(all, 1), 'a', 'a text ends at its zero');
  t.equal(readU16Be(all, 2), 4789);
  t.equal(readNested(all, 9).size, 0);
});

t.test('addresses and prefixes', async t => {
  t.equal(addressText(addressBytes('fd00:0:0::1')), 'fd00::1');
  t.strictSame(networkBytes('255.1.2.3/8'), { family: 4, address: Uint8Array.of(255, 0, 0, 0), length: 8 });
  t.strictSame(prefixBytes('192.0.2.1'), { family: 4, address: Uint8Array.of(192, 0, 2, 1), length: 32 });
  t.throws(() => addressBytes('fe80::1%eth0'), { code: 'ECONFIG' });
  t.throws(() => addressText(new Uint8Array(5)), { code: 'EBADMSG', message: /address of 5 bytes/ });
});

t.test('VLANs of a bridge port, which few test kernels filter by', async t => {
  const sent: Uint8Array[] = [];
  const socket = {
    request: (writer: MessageWriter) => sent.push(writer.finish(1, 4)),
  } as unknown as NetlinkSocket;
  addBridgeVlan(socket, { link: 5, id: 100, pvid: true, untagged: true });
  deleteBridgeVlan(socket, { link: 5, id: 200 });
  t.same(
    sent[0],
    hex(`
      2c 00 00 00  13 00 05 00  01 00 00 00  00 00 00 00 // SETLINK, ACK|REQUEST
      07 00 00 00  05 00 00 00  00 00 00 00  00 00 00 00 // AF_BRIDGE, link 5
      0c 00 1a 80  08 00 02 00  06 00 64 00              // AF_SPEC: PVID|UNTAGGED, 100
    `),
  );
  t.same(
    sent[1],
    hex(`
      2c 00 00 00  11 00 05 00  01 00 00 00  00 00 00 00 // DELLINK
      07 00 00 00  05 00 00 00  00 00 00 00  00 00 00 00
      0c 00 1a 80  08 00 02 00  00 00 c8 00              // AF_SPEC: 200
    `),
  );
  const [answer] = splitMessages(
    hex(`
      40 00 00 00  10 00 02 00  01 00 00 00  00 00 00 00
      07 00 01 00  05 00 00 00  00 00 00 00  00 00 00 00
      0c 00 03 00  65 74 68 30  00 00 00 00
      14 00 1a 00  08 00 02 00 06 00 01 00  08 00 02 00 00 00 64 00
    `),
  );
  t.same(readBridgeVlans(answer!), [
    { link: 5, id: 1, pvid: true, untagged: true },
    { link: 5, id: 100, pvid: false, untagged: false },
  ]);
});
