import t from 'tap';
import { PEERS_MAX } from '../../src/dataplane/tables/capacity.ts';
import {
  findPrefix4,
  findPrefix6,
  lpm4Words,
  lpm6Words,
  maskWord,
  type PrefixEntry,
} from '../../src/dataplane/tables/lpm.ts';
import { Random, seedOfRun } from '../fixtures/random.ts';
import { fillLpm4, fillLpm6 } from '../fixtures/tables.ts';

/** The slow obvious table: look at every prefix, keep the longest that fits. */
function findSlowly(entries: readonly PrefixEntry[], address: readonly number[]): number {
  let best = -1;
  let peer = -1;
  for (const entry of entries) {
    if (entry.length <= best) continue;
    let fits = true;
    for (let bit = 0; bit < entry.length && fits; bit++) {
      const shift = 31 - (bit & 31);
      fits = ((address[bit >> 5]! >>> shift) & 1) === ((entry.words[bit >> 5]! >>> shift) & 1);
    }
    if (!fits) continue;
    best = entry.length;
    peer = entry.peer;
  }
  return peer;
}

const seed = seedOfRun();
t.comment(`seed ${seed}`);
const random = new Random(seed);

/** Distinct prefixes below a few roots, so that they nest; `lengths` are drawn with equal chance. */
function prefixes(count: number, words: 1 | 4, lengths: readonly number[]): PrefixEntry[] {
  const entries = new Map<string, PrefixEntry>();
  while (entries.size < count) {
    const length = lengths[random.below(lengths.length)]!;
    const address = Array.from({ length: words }, (_, word) => random.word() & maskWord(length - word * 32));
    if (random.below(2) && length >= 12) address[0] = (address[0]! & 0x000fffff) | 0x0a500000;
    entries.set(`${address}/${length}`, { words: address, length, peer: random.below(PEERS_MAX) });
  }
  return [...entries.values()];
}

/** Addresses inside prefixes, next to them, and anywhere. */
function* addresses(entries: readonly PrefixEntry[], words: 1 | 4, count: number): Generator<number[]> {
  for (let i = 0; i < count; i++) {
    const address = Array.from({ length: words }, () => random.word());
    const near = entries.length > 0 && i % 4 !== 0 ? entries[random.below(entries.length)] : undefined;
    if (near) {
      for (let word = 0; word < words; word++) {
        const mask = maskWord(near.length - word * 32);
        address[word] = (near.words[word]! & mask) | (address[word]! & ~mask);
      }
      if (i % 4 === 1) address[0] = address[0]! ^ (1 << random.below(32));
    }
    yield address;
  }
}

const ALL4 = Array.from({ length: 33 }, (_, length) => length);
const ALL6 = Array.from({ length: 129 }, (_, length) => length);
const CASES = [
  { count: 0, probes: 50, lengths4: [24], lengths6: [64] },
  { count: 1, probes: 200, lengths4: [0], lengths6: [0] },
  { count: 10, probes: 5000, lengths4: ALL4, lengths6: ALL6 },
  { count: 1000, probes: 2000, lengths4: [24], lengths6: [64] },
  { count: 1000, probes: 2000, lengths4: ALL4.slice(10), lengths6: ALL6.slice(20) },
  { count: 100_000, probes: 150, lengths4: [24], lengths6: [64] },
  { count: 100_000, probes: 150, lengths4: ALL4.slice(20), lengths6: ALL6.slice(40) },
];

for (const { count, probes, lengths4, lengths6 } of CASES)
  t.test(`${count} prefixes of ${lengths4.length} lengths agree with a list`, async t => {
    const list4 = prefixes(count, 1, lengths4);
    const table4 = new Int32Array(lpm4Words(count)).fill(-1);
    fillLpm4(table4, list4);
    for (const address of addresses(list4, 1, probes)) {
      const expected = findSlowly(list4, address);
      if (findPrefix4(table4, address[0]!) !== expected) t.fail(`IPv4 ${address}: not peer ${expected}`);
    }
    const list6 = prefixes(count, 4, lengths6);
    const table6 = new Int32Array(lpm6Words(count)).fill(-1);
    fillLpm6(table6, list6);
    for (const [w0, w1, w2, w3] of addresses(list6, 4, probes) as Iterable<
      [number, number, number, number]
    >) {
      const expected = findSlowly(list6, [w0, w1, w2, w3]);
      if (findPrefix6(table6, w0, w1, w2, w3) !== expected)
        t.fail(`IPv6 ${[w0, w1, w2, w3]}: not peer ${expected}`);
    }
    t.pass(`${probes} addresses a family`);
  });

t.test('untouched memory is an empty table', async t => {
  t.equal(findPrefix4(new Int32Array(lpm4Words(1)), 0), -1);
  t.equal(findPrefix6(new Int32Array(lpm6Words(1)), 0, 0, 0, 0), -1);
});
