import t from 'tap';
import { dissect } from '../../encap/dissect.ts';
import { FORMATS } from '../../encap/formats.ts';
import { emitPacket, type ProofMessage, parsePacket } from '../../encap/offload-proof.ts';
import * as vxlan from '../../encap/vxlan.ts';
import * as ipv6 from '../../encap/wire/ipv6.ts';
import { linkBytes } from '../../encap/wire/vlan.ts';
import { describePacket } from '../../src/capture/decode/text.ts';
import { buildTooBig, buildUnreachable } from '../../src/dataplane/slow-path/icmp-builder.ts';
import { mayTriggerIcmpError } from '../../src/dataplane/slow-path/icmp-eligibility.ts';
import { answerNeighbour } from '../../src/dataplane/slow-path/neighbour-responder.ts';
import { addressBytes } from '../../src/ip/address.ts';
import { macBytes } from '../../src/ip/mac.ts';
import { fuzzSeconds, seeded } from '../fixtures/random.ts';
import { HEADERS } from '../unit/encap/fixtures/headers.ts';
import { campaign, keepInput, replayed, SEED } from './campaign/campaign.ts';
import { mutate } from './campaign/mutate.ts';
import { WIRE_SEEDS } from './seeds/wire.ts';

/** Inputs tried: as many as one slow core tries in that time. */
const INPUTS = fuzzSeconds(3) * 8_000;
const MAC = macBytes('0e:00:00:00:00:01');

/** Everything that encap/wire and the slow path make of `length` bytes at `off`. Throws when a promise is broken. */
function digest(view: DataView, off: number, length: number): unknown[] {
  const seen: unknown[] = [];
  for (const header of HEADERS) {
    const bytes = header.check?.(view, off, length);
    const value = header.parse(view, off, length);
    if (bytes !== undefined) {
      if (bytes < 0 || bytes > length) throw new Error(`${header.name}: check returns ${bytes} of ${length}`);
      if (bytes > 0 !== (value !== undefined)) throw new Error(`${header.name}: check and parse disagree`);
    }
    seen.push(bytes, value, value !== undefined && header.format?.(value as never));
  }
  for (const format of [FORMATS.vxlan, FORMATS.udp]) seen.push(format.check(view, off, length, 1));
  const shown = vxlan.parse(view, off, length);
  seen.push(shown && vxlan.format(shown));
  const link = linkBytes(view, off, length);
  if (link > length) throw new Error(`link header of ${link} bytes in ${length}`);
  if (ipv6.check(view, off, length) > 0) {
    const upper = ipv6.upperLayer(view, off);
    if (upper >= 0 && ipv6.upperOffset(upper) > length) throw new Error('upper header outside the packet');
    seen.push(upper);
  }
  const packet = new Uint8Array(view.buffer, view.byteOffset + off, length);
  for (const link of ['ethernet', 'ip'] as const) {
    const line = describePacket(packet, link, { overlay: { mode: 'vxlan', port: 8472 } });
    if (line === '' || /undefined|NaN|\n/.test(line)) throw new Error(`line: ${line}`);
    seen.push(line, dissect(packet, link));
  }
  const errors = [
    mayTriggerIcmpError(view, off, length, false) ? buildUnreachable(view, off, length) : undefined,
    mayTriggerIcmpError(view, off, length, true) ? buildTooBig(view, off, length, 1400) : undefined,
  ];
  for (const answer of errors) {
    if (answer && answer.message.length > (answer.family === 4 ? 556 : 1240))
      throw new Error('answer too long');
    seen.push(answer);
  }
  const reply = answerNeighbour(view, off, length, () => MAC);
  if (reply && reply.length !== 42 && reply.length !== 86) throw new Error(`reply of ${reply.length} bytes`);
  seen.push(reply);
  return seen;
}

t.test('a kept input', async t => {
  const bytes = replayed('wire');
  if (bytes instanceof Uint8Array) digest(new DataView(Uint8Array.from(bytes).buffer), 0, bytes.length);
  t.pass();
});

const skip = replayed('wire') === undefined ? false : 'one kept input is fed again';
t.test('no bytes make anything throw, read outside, or depend on what lies outside', { skip }, async t => {
  const random = seeded(t, SEED);
  const answered = { icmp: 0, neighbour: 0 };
  for (let input = 0; input < INPUTS; input++) {
    const seed = random.pick(WIRE_SEEDS);
    const bytes =
      input < WIRE_SEEDS.length
        ? WIRE_SEEDS[input]!
        : random.chance(0.1)
          ? random.bytes(random.between(0, 100))
          : mutate(random, seed);
    // From the Ethernet header and from the network header on.
    const skip = random.chance(0.5) ? 0 : Math.min(14, bytes.length);
    const part = bytes.subarray(skip);
    const exact = new DataView(part.slice().buffer);
    const before = random.between(0, 33);
    const slab = new Uint8Array(new SharedArrayBuffer(before + part.length + 64)).fill(
      random.pick([0, 0x45, 0xff]),
    );
    slab.set(part, before);
    try {
      const alone = digest(exact, 0, part.length);
      const amid = digest(new DataView(slab.buffer), before, part.length);
      if (JSON.stringify(alone) !== JSON.stringify(amid))
        throw new Error('what lies around the bytes changed the result');
      if (alone.at(-2) !== undefined) answered.icmp++;
      if (alone.at(-1) !== undefined) answered.neighbour++;
    } catch (error) {
      t.fail(`input ${input}: ${keepInput('wire', part)}`, { error });
      return;
    }
  }
  t.ok(answered.icmp > 100 && answered.neighbour > 10, `answered: ${JSON.stringify(answered)}`);
});

t.test('proof messages of peers: what is accepted is what this node would have written', async t => {
  const nonce = Uint8Array.from({ length: 16 }, (_, at) => at);
  const messages: ProofMessage[] = [
    { kind: 'train', nonce, place: 3, length: 64 },
    { kind: 'alone', nonce, place: 44, length: 33 },
    { kind: 'question', nonce },
    { kind: 'answer', nonce, train: 3n, alone: 7n },
  ];
  const ends = [
    ['10.244.1.0', '10.244.2.0'],
    ['fd00:1::', 'fd00:2::'],
  ].map(pair => pair.map(addressBytes) as [Uint8Array, Uint8Array]);
  const seeds = ends.flatMap(([source, destination]) =>
    messages.map(message => emitPacket({ source, destination, message })),
  );
  await campaign(t, {
    name: 'proof-message',
    seeds,
    leastAccepted: seeds.length,
    // Accepted inputs are rare among mutations, but for those that change a nonce or a set.
    alter: (random, bytes) => {
      const changed = bytes.slice();
      changed[random.below(changed.length)] = random.below(256);
      return changed;
    },
    parse: bytes => {
      const packet = parsePacket(bytes);
      if (!packet) return false;
      const again = emitPacket(packet);
      // Class, label and hop limit of IPv6 are the network's.
      const from = packet.source.length === 4 ? 0 : 8;
      if (Buffer.compare(again.subarray(from), bytes.subarray(from)) !== 0) throw new Error('other bytes');
      return true;
    },
  });
});
