import t from 'tap';
import {
  emitPacket,
  HEADER_BYTES,
  NONCE_BYTES,
  type ProofMessage,
  type ProofPacket,
  parsePacket,
} from '../../../encap/offload-proof.ts';
import { addressBytes } from '../../../src/ip/address.ts';

const NONCE = Uint8Array.from({ length: NONCE_BYTES }, (_, at) => 0xa0 + at);
const ADDRESSES = {
  4: { source: addressBytes('10.244.1.0'), destination: addressBytes('10.244.2.0') },
  6: { source: addressBytes('fd00:1::'), destination: addressBytes('fd00:2::') },
} as const;
const packet = (message: ProofMessage, family: 4 | 6 = 4): ProofPacket => ({ ...ADDRESSES[family], message });
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');

const NONCE_HEX = 'a0a1a2a3a4a5a6a7a8a9aaabacadaeaf';

t.test('messages byte by byte', async t => {
  t.equal(
    hex(emitPacket(packet({ kind: 'train', nonce: NONCE, place: 2, length: 40 }))),
    // total length 60, DF, TTL 64, protocol 253; then magic, kind 1, place 2, length 40
    `4500003c0000400040fd${'20de'}0af401000af40200${'52697073746f7001'}0102002800000000${NONCE_HEX}6b8aa9c8e7062544`,
  );
  t.equal(
    hex(emitPacket(packet({ kind: 'question', nonce: NONCE }, 6))),
    `600000000030fd40${hex(ADDRESSES[6].source)}${hex(ADDRESSES[6].destination)}52697073746f70010300003000000000${NONCE_HEX}${'00'.repeat(16)}`,
  );
  t.equal(
    hex(emitPacket(packet({ kind: 'answer', nonce: NONCE, train: 5n, alone: (1n << 63n) | 7n }))).slice(56),
    `0400003000000000${NONCE_HEX}00000000000000058000000000000007`,
  );
});

const MESSAGES: readonly ProofMessage[] = [
  { kind: 'train', nonce: NONCE, place: 0, length: HEADER_BYTES + 1 },
  { kind: 'train', nonce: NONCE, place: 44, length: 1430 },
  { kind: 'alone', nonce: NONCE, place: 63, length: 8910 },
  { kind: 'question', nonce: NONCE },
  { kind: 'answer', nonce: NONCE, train: 0n, alone: (1n << 64n) - 1n },
];

t.test('what is written is read, and no other byte passes', async t => {
  for (const family of [4, 6] as const)
    for (const message of MESSAGES) {
      const bytes = emitPacket(packet(message, family));
      t.same(parsePacket(bytes), packet(message, family), `IPv${family}: ${message.kind}`);
      t.equal(parsePacket(bytes.subarray(0, -1)), undefined, 'cut short');
      t.equal(parsePacket(Uint8Array.of(...bytes, 0)), undefined, 'a byte too much');
      const header = family === 4 ? 20 : 40;
      // A changed nonce is another attempt, a set another answer; IPv6 has no checksum of its header.
      const free = (at: number) =>
        (at >= header + 16 && at < header + 32) ||
        (message.kind === 'answer' && at >= header + 32) ||
        (family === 6 && (at < 4 || at === 7 || (at >= 8 && at < 40)));
      const passed: number[] = [];
      for (let at = 0; at < bytes.length; at++) {
        const changed = bytes.slice();
        changed[at]! ^= 1 << (at % 8);
        if (!free(at) && parsePacket(changed)) passed.push(at);
      }
      t.same(passed, [], `IPv${family}: ${message.kind}, each byte changed`);
    }
});

t.test('a datagram in the place of another one shows', async t => {
  const at = (place: number) => emitPacket(packet({ kind: 'train', nonce: NONCE, place, length: 200 }));
  const mixed = Uint8Array.of(...at(3).subarray(0, 100), ...at(4).subarray(100));
  t.equal(parsePacket(mixed), undefined);
});

t.test('what cannot be written is refused', async t => {
  for (const wrong of [
    { kind: 'train', nonce: NONCE, place: 64, length: 100 },
    { kind: 'train', nonce: NONCE, place: 0, length: HEADER_BYTES },
    { kind: 'train', nonce: NONCE, place: 0, length: 65_536 },
    { kind: 'question', nonce: NONCE.subarray(1) },
  ] as const)
    t.throws(() => emitPacket(packet(wrong)), RangeError, JSON.stringify(wrong.kind));
});

t.test('an answer is no longer than its question', async t => {
  const [question, answer] = [MESSAGES[3]!, MESSAGES[4]!].map(message => emitPacket(packet(message)).length);
  t.ok(answer! <= question!);
});
