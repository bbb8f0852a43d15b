import t from 'tap';
import { viewOf } from '../../../../encap/wire/addresses.ts';
import * as nd from '../../../../encap/wire/nd.ts';
import { answerNeighbour } from '../../../../src/dataplane/slow-path/neighbour-responder.ts';
import { mappedBytesOf, requireAddress } from '../../../../src/ip/address.ts';
import { parseMac } from '../../../../src/ip/mac.ts';
import { innerOf } from '../../../vectors/datagrams.ts';
import * as kernel from '../../../vectors/kernel-vxlan.ts';
import { sealNd } from './fixtures/packets.ts';

const ANYONE = () => parseMac('0e:00:00:00:04:02');

/** The answer to `frame` when every address is known. */
function answer(frame: Uint8Array): Uint8Array | undefined {
  return answerNeighbour(viewOf(frame), 0, frame.length, ANYONE);
}

/** A copy of a kernel frame with bytes put in at offsets. */
function changed(vector: Uint8Array, changes: Record<number, number[] | Uint8Array>): Uint8Array {
  const frame = innerOf(vector);
  for (const [at, bytes] of Object.entries(changes)) frame.set(bytes, Number(at));
  return frame;
}

const request = (changes: Record<number, number[] | Uint8Array>) => changed(kernel.ARP_REQUEST, changes);
const solicitation = (changes: Record<number, number[] | Uint8Array>) =>
  sealNd(changed(kernel.SOLICITATION, changes));

/** The solicitation without its option: a frame of 78 bytes. */
function withoutOption(changes: Record<number, number[] | Uint8Array>): Uint8Array {
  return sealNd(changed(kernel.SOLICITATION, { 18: [0, 24], ...changes }).slice(0, 78));
}

t.test('ARP: what asks nothing is not answered', async t => {
  t.ok(answer(request({})), 'the request itself is');
  t.notOk(answer(request({ 20: [0, 2] })), 'a reply');
  t.notOk(answer(request({ 20: [0, 3] })), 'RARP');
  t.notOk(answer(request({ 38: [10, 244, 1, 0] })), 'an announcement: sender and target are equal');
  t.notOk(answer(request({ 28: [0, 0, 0, 0] })), 'a probe: sender 0.0.0.0');
  t.notOk(answer(request({ 28: [224, 0, 0, 1] })), 'sender is a group');
  t.notOk(answer(request({ 28: [255, 255, 255, 255] })), 'sender is broadcast');
  t.notOk(answer(request({ 22: [0, 0, 0, 0, 0, 0] })), 'sender without MAC');
  t.notOk(answer(request({ 22: [1, 0, 0, 0, 0, 1] })), 'sender MAC is a group');
  t.notOk(answer(request({ 14: [0, 6] })), 'hardware other than Ethernet');
  t.notOk(answer(request({ 16: [0x86, 0xdd] })), 'protocol other than IPv4');
  t.notOk(answer(request({ 18: [8] })), 'hardware length');
  t.notOk(answer(request({ 12: [0x81, 0] })), 'a tagged frame');
});

t.test('ARP: a unicast check of a known neighbour and a padded frame are answered', async t => {
  const unicast = answer(request({ 0: [0x0e, 0, 0, 0, 4, 2], 32: [0x0e, 0, 0, 0, 4, 2] }));
  t.strictSame(unicast, innerOf(kernel.ARP_REPLY));
  const padded = new Uint8Array(60);
  padded.set(innerOf(kernel.ARP_REQUEST));
  t.strictSame(answer(padded), innerOf(kernel.ARP_REPLY));
});

t.test('ND: what RFC 4861 section 7.1.1 discards is not answered', async t => {
  t.ok(answer(solicitation({})), 'the solicitation itself is');
  t.notOk(answer(solicitation({ 21: [254] })), 'hop limit 254: it crossed a router');
  t.notOk(answer(changed(kernel.SOLICITATION, { 56: [0, 0] })), 'wrong checksum');
  t.notOk(answer(solicitation({ 55: [1] })), 'code 1');
  t.notOk(answer(solicitation({ 54: [136] })), 'an advertisement');
  t.notOk(answer(solicitation({ 62: [0xff, 0x02] })), 'target is a group');
  t.notOk(answer(solicitation({ 79: [0] })), 'option of length zero');
  t.notOk(answer(solicitation({ 79: [2] })), 'option longer than the message');
  t.notOk(answer(solicitation({ 20: [17] })), 'no ICMPv6');
  t.notOk(answer(solicitation({ 22: [0xff, 0x02] })), 'source is a group');
  t.notOk(answer(solicitation({ 80: [0x33, 0x33, 0, 0, 0, 1] })), 'asker’s MAC is a group');
  t.notOk(answer(solicitation({ 80: [0, 0, 0, 0, 0, 0] })), 'asker without MAC');
});

t.test('ND: duplicate address detection is left to the holder of the address', async t => {
  t.notOk(answer(withoutOption({ 22: new Uint8Array(16) })), 'as RFC 4862 sends it');
  t.notOk(answer(solicitation({ 22: new Uint8Array(16) })), 'with the option that it may not have');
});

t.test('ND: a unicast check without option is answered to the frame’s sender', async t => {
  const frame = withoutOption({
    0: [0x0e, 0, 0, 0, 4, 2],
    38: mappedBytesOf(requireAddress('fd00:10:244:2::')),
  });
  t.strictSame(answer(frame), innerOf(kernel.ADVERTISEMENT));
});

t.test('ND: the option found among others decides where the answer goes', async t => {
  const frame = new Uint8Array(86 + 8);
  frame.set(innerOf(kernel.SOLICITATION));
  frame.set([14, 1, 1, 2, 3, 4, 5, 6], 78); // a nonce (RFC 3971) in front
  frame.set([1, 1, 2, 0, 0, 0, 0, 9], 86);
  frame.set([0, 40], 18);
  const reply = answer(sealNd(frame))!;
  t.strictSame(reply.subarray(0, 6), parseMac('02:00:00:00:00:09'));
  const view = viewOf(reply);
  t.equal(view.getUint32(54 + 4), (nd.ROUTER | nd.SOLICITED | nd.OVERRIDE) >>> 0);
});

t.test('cut at every length nothing is answered, nor for an address that no peer has', async t => {
  for (const vector of [kernel.ARP_REQUEST, kernel.SOLICITATION]) {
    const whole = innerOf(vector);
    for (let cut = 0; cut < whole.length; cut++)
      t.equal(answer(whole.slice(0, cut)), undefined, `${cut} bytes`);
  }
  for (const vector of [kernel.ARP_REQUEST, kernel.SOLICITATION, kernel.UDP_4]) {
    const frame = innerOf(vector);
    t.equal(
      answerNeighbour(viewOf(frame), 0, frame.length, () => undefined),
      undefined,
    );
  }
});
