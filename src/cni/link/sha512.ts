/*
 * SHA-512 (FIPS 180-4, section 6.4), by which the reference plugins name chains, devices and rules. A call in a process of its own
 * needs one or two digests, and loading node:crypto for them takes 6 ms: docs/decisions/0121-hash-of-tags.md.
 */

/** Bytes of a block, and where the length of the message begins in the last one. */
const BLOCK = 128;
const LENGTH_AT = 112;
const ROUNDS = 80;

/** Numbers of 64 bits, each as its upper and its lower 32 bits. */
function words(digits: string): Int32Array {
  const halves = digits.match(/[0-9a-f]{8}/g) ?? [];
  return Int32Array.from(halves, one => Number.parseInt(one, 16));
}

/** The first 64 bits of the fractional parts of the cube roots of the first 80 prime numbers. */
const CONSTANTS = words(`
  428a2f98d728ae22 7137449123ef65cd b5c0fbcfec4d3b2f e9b5dba58189dbbc 3956c25bf348b538 59f111f1b605d019
  923f82a4af194f9b ab1c5ed5da6d8118 d807aa98a3030242 12835b0145706fbe 243185be4ee4b28c 550c7dc3d5ffb4e2
  72be5d74f27b896f 80deb1fe3b1696b1 9bdc06a725c71235 c19bf174cf692694 e49b69c19ef14ad2 efbe4786384f25e3
  0fc19dc68b8cd5b5 240ca1cc77ac9c65 2de92c6f592b0275 4a7484aa6ea6e483 5cb0a9dcbd41fbd4 76f988da831153b5
  983e5152ee66dfab a831c66d2db43210 b00327c898fb213f bf597fc7beef0ee4 c6e00bf33da88fc2 d5a79147930aa725
  06ca6351e003826f 142929670a0e6e70 27b70a8546d22ffc 2e1b21385c26c926 4d2c6dfc5ac42aed 53380d139d95b3df
  650a73548baf63de 766a0abb3c77b2a8 81c2c92e47edaee6 92722c851482353b a2bfe8a14cf10364 a81a664bbc423001
  c24b8b70d0f89791 c76c51a30654be30 d192e819d6ef5218 d69906245565a910 f40e35855771202a 106aa07032bbd1b8
  19a4c116b8d2d0c8 1e376c085141ab53 2748774cdf8eeb99 34b0bcb5e19b48a8 391c0cb3c5c95a63 4ed8aa4ae3418acb
  5b9cca4f7763e373 682e6ff3d6b2b8a3 748f82ee5defb2fc 78a5636f43172f60 84c87814a1f0ab72 8cc702081a6439ec
  90befffa23631e28 a4506cebde82bde9 bef9a3f7b2c67915 c67178f2e372532b ca273eceea26619c d186b8c721c0c207
  eada7dd6cde0eb1e f57d4f7fee6ed178 06f067aa72176fba 0a637dc5a2c898a6 113f9804bef90dae 1b710b35131c471b
  28db77f523047d84 32caab7b40c72493 3c9ebe0a15c9bebc 431d67c49c100d4c 4cc5d4becb3e42b6 597f299cfc657e2a
  5fcb6fab3ad6faec 6c44198c4a475817
`);

/** The same of the square roots of the first eight. */
const INITIAL = words(`
  6a09e667f3bcc908 bb67ae8584caa73b 3c6ef372fe94f82b a54ff53a5f1d36f1 510e527fade682d1 9b05688c2b3e6c1f
  1f83d9abfb41bd6b 5be0cd19137e2179
`);

/** The message, a one bit, zeros, and its length in bits, in whole blocks. */
function padded(message: Uint8Array): DataView {
  const blocks = Math.floor((message.length + BLOCK - LENGTH_AT) / BLOCK) + 1;
  const bytes = new Uint8Array(blocks * BLOCK);
  bytes.set(message);
  bytes[message.length] = 0x80;
  const view = new DataView(bytes.buffer);
  view.setBigUint64(bytes.length - 8, BigInt(message.length) * 8n);
  return view;
}

/** The lower half of a number rotated to the right by less than 32 bits; with the halves exchanged, the upper one. */
const rotate = (upper: number, lower: number, by: number) => (lower >>> by) | (upper << (32 - by));

/** Half of a number, by its index in a list that is long enough. */
const half = (halves: Int32Array, index: number) => halves[index] ?? 0;

const carry = (sum: number) => Math.floor(sum / 2 ** 32);

/** The message schedule of the block at `at`. */
function schedule(view: DataView, at: number): Int32Array {
  const words = new Int32Array(2 * ROUNDS);
  for (let i = 0; i < 32; i++) words[i] = view.getInt32(at + 4 * i);
  for (let i = 32; i < words.length; i += 2) {
    const [lateH, lateL] = [half(words, i - 4), half(words, i - 3)];
    const [earlyH, earlyL] = [half(words, i - 30), half(words, i - 29)];
    const sigma1L = rotate(lateH, lateL, 19) ^ rotate(lateL, lateH, 29) ^ rotate(lateH, lateL, 6);
    const sigma1H = rotate(lateL, lateH, 19) ^ rotate(lateH, lateL, 29) ^ (lateH >>> 6);
    const sigma0L = rotate(earlyH, earlyL, 1) ^ rotate(earlyH, earlyL, 8) ^ rotate(earlyH, earlyL, 7);
    const sigma0H = rotate(earlyL, earlyH, 1) ^ rotate(earlyL, earlyH, 8) ^ (earlyH >>> 7);
    const sum = (sigma1L >>> 0) + (half(words, i - 13) >>> 0) + (sigma0L >>> 0) + (half(words, i - 31) >>> 0);
    words[i] = sigma1H + half(words, i - 14) + sigma0H + half(words, i - 32) + carry(sum);
    words[i + 1] = sum;
  }
  return words;
}

/** One round. `state` has the numbers a to h; `i` is the index of the round's number in the schedule and in the constants. */
function step(state: Int32Array, schedule: Int32Array, i: number): void {
  const aH = half(state, 0);
  const aL = half(state, 1);
  const bH = half(state, 2);
  const bL = half(state, 3);
  const cH = half(state, 4);
  const cL = half(state, 5);
  const eH = half(state, 8);
  const eL = half(state, 9);
  const fH = half(state, 10);
  const fL = half(state, 11);
  const gH = half(state, 12);
  const gL = half(state, 13);
  const hH = half(state, 14);
  const hL = half(state, 15);
  const sum1L = rotate(eH, eL, 14) ^ rotate(eH, eL, 18) ^ rotate(eL, eH, 9);
  const sum1H = rotate(eL, eH, 14) ^ rotate(eL, eH, 18) ^ rotate(eH, eL, 9);
  const choiceL = (eL & fL) ^ (~eL & gL);
  const choiceH = (eH & fH) ^ (~eH & gH);
  const added = (half(schedule, i + 1) >>> 0) + (half(CONSTANTS, i + 1) >>> 0);
  const firstL = (hL >>> 0) + (sum1L >>> 0) + (choiceL >>> 0) + added;
  const firstH = hH + sum1H + choiceH + half(schedule, i) + half(CONSTANTS, i) + carry(firstL);
  const sum0L = rotate(aH, aL, 28) ^ rotate(aL, aH, 2) ^ rotate(aL, aH, 7);
  const sum0H = rotate(aL, aH, 28) ^ rotate(aH, aL, 2) ^ rotate(aH, aL, 7);
  const majorityL = (aL & bL) ^ (aL & cL) ^ (bL & cL);
  const majorityH = (aH & bH) ^ (aH & cH) ^ (bH & cH);
  state.copyWithin(2, 0, 14);
  const newE = (half(state, 9) >>> 0) + (firstL >>> 0);
  state[8] = half(state, 8) + firstH + carry(newE);
  state[9] = newE;
  const newA = (firstL >>> 0) + (sum0L >>> 0) + (majorityL >>> 0);
  state[0] = firstH + sum0H + majorityH + carry(newA);
  state[1] = newA;
}

/** The digest of a text in UTF-8, as 128 hexadecimal digits. */
export function sha512(text: string): string {
  const view = padded(new TextEncoder().encode(text));
  const total = INITIAL.slice();
  for (let at = 0; at < view.byteLength; at += BLOCK) {
    const state = total.slice();
    const words = schedule(view, at);
    for (let i = 0; i < words.length; i += 2) step(state, words, i);
    for (let i = 0; i < total.length; i += 2) {
      const sum = (half(total, i + 1) >>> 0) + (half(state, i + 1) >>> 0);
      total[i] = half(total, i) + half(state, i) + carry(sum);
      total[i + 1] = sum;
    }
  }
  return Array.from(total, one => (one >>> 0).toString(16).padStart(8, '0')).join('');
}
