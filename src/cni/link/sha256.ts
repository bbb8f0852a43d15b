/*
 * SHA-256 (FIPS 180-4, section 6.2). Each call needs it once or twice, for texts of a hundred bytes, and loading node:crypto for that
 * is a tenth of a call in a process of its own: docs/decisions/0121-hash-of-tags.md.
 */

/** Bytes of a block, and where the length of the message begins in the last one. */
const BLOCK = 64;
const LENGTH_AT = 56;

const PRIMES: number[] = [];
for (let n = 2; PRIMES.length < BLOCK; n++) if (PRIMES.every(prime => n % prime !== 0)) PRIMES.push(n);

/** The first 32 bits of the fractional part. */
const fraction = (root: number) => ((root - Math.floor(root)) * 2 ** 32) | 0;
const INITIAL = PRIMES.slice(0, 8).map(prime => fraction(Math.sqrt(prime))) as State;
const CONSTANTS = PRIMES.map(prime => fraction(Math.cbrt(prime)));

const rotate = (word: number, by: number) => (word >>> by) | (word << (32 - by));

/** The message, a one bit, zeros, and its length in bits, in whole blocks. */
function padded(message: Uint8Array): DataView {
  const blocks = Math.floor((message.length + BLOCK - LENGTH_AT) / BLOCK) + 1;
  const bytes = new Uint8Array(blocks * BLOCK);
  bytes.set(message);
  bytes[message.length] = 0x80;
  const view = new DataView(bytes.buffer);
  view.setBigUint64(bytes.length - BLOCK + LENGTH_AT, BigInt(message.length) * 8n);
  return view;
}

/** The 64 words of the message schedule of the block at `at`. */
function schedule(view: DataView, at: number): DataView {
  const words = new DataView(new ArrayBuffer(4 * BLOCK));
  const word = (index: number) => words.getInt32(4 * index);
  for (let i = 0; i < 16; i++) words.setInt32(4 * i, view.getInt32(at + 4 * i));
  for (let i = 16; i < BLOCK; i++) {
    const [late, early] = [word(i - 2), word(i - 15)];
    const sigma1 = rotate(late, 17) ^ rotate(late, 19) ^ (late >>> 10);
    const sigma0 = rotate(early, 7) ^ rotate(early, 18) ^ (early >>> 3);
    words.setInt32(4 * i, sigma1 + word(i - 7) + sigma0 + word(i - 16));
  }
  return words;
}

type State = [number, number, number, number, number, number, number, number];

function compress(state: State, words: DataView): State {
  let [a, b, c, d, e, f, g, h] = state;
  for (const [i, constant] of CONSTANTS.entries()) {
    const choice = (e & f) ^ (~e & g);
    const sum1 = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25);
    const first = (h + sum1 + choice + constant + words.getInt32(4 * i)) | 0;
    const majority = (a & b) ^ (a & c) ^ (b & c);
    const sum0 = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22);
    [h, g, f, e, d, c, b, a] = [g, f, e, (d + first) | 0, c, b, a, (first + sum0 + majority) | 0];
  }
  const [A, B, C, D, E, F, G, H] = state;
  return [a + A, b + B, c + C, d + D, e + E, f + F, g + G, h + H];
}

/** The digest of a text in UTF-8, as 64 hexadecimal digits. */
export function sha256(text: string): string {
  const view = padded(new TextEncoder().encode(text));
  let state = INITIAL;
  for (let at = 0; at < view.byteLength; at += BLOCK) state = compress(state, schedule(view, at));
  return state.map(word => (word >>> 0).toString(16).padStart(8, '0')).join('');
}
