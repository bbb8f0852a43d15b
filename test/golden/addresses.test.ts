import t from 'tap';
import {
  type AddressEntry,
  addressWords,
  findAddress,
  findPeerBySource,
} from '../../src/dataplane/tables/source-table.ts';
import { Random, seedOfRun } from '../fixtures/random.ts';
import { fillAddresses } from '../fixtures/tables.ts';

const seed = seedOfRun();
t.comment(`seed ${seed}`);
const random = new Random(seed);

/** Distinct addresses: IPv4-mapped in one subnet, one IPv6 subnet, or anything. */
function entriesOf(count: number): AddressEntry[] {
  const entries = new Map<string, AddressEntry>();
  while (entries.size < count) {
    const kind = random.below(3);
    const low = random.below(count * 2);
    const words =
      kind === 0
        ? [0, 0, -65536, (10 << 24) | low]
        : kind === 1
          ? [0x20010db8, 0, 0, low]
          : [random.word(), random.word(), random.word(), random.word()];
    const tag = random.below(3);
    entries.set(`${words}#${tag}`, { words, tag, peer: random.below(60_000) });
  }
  return [...entries.values()];
}

for (const count of [0, 1, 10, 1000, 100_000])
  t.test(`${count} addresses agree with a Map`, async t => {
    const entries = entriesOf(count);
    const golden = new Map(entries.map(({ words, tag, peer }) => [`${words}#${tag}`, peer]));
    const base = 16 * random.below(3);
    const table = new Int32Array(base + addressWords(count)).fill(-1);
    fillAddresses(table, base, entries);
    let wrong = 0;
    const check = (words: readonly number[], tag: number) => {
      const [w0, w1, w2, w3] = words as [number, number, number, number];
      if (findAddress(table, base, w0, w1, w2, w3, tag) !== (golden.get(`${words}#${tag}`) ?? -1)) wrong++;
    };
    for (const { words, tag } of entries) check(Array.from(words), tag);
    for (let i = 0; i < 20_000; i++) {
      const near = count > 0 ? entries[random.below(count)]! : { words: [0, 0, 0, 0], tag: 0 };
      const words = Array.from(near.words);
      const word = random.below(4);
      words[word] = words[word]! ^ (1 << random.below(32));
      check(words, near.tag);
      check(Array.from(near.words), near.tag ^ 1);
    }
    t.equal(wrong, 0);
    t.ok(
      table.subarray(0, base).every(word => word === -1),
      'nothing in front of the base is touched',
    );
  });

t.test('a source is asked for by its bytes in network order, as the kernel writes them', async t => {
  const bytes = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 7);
  const words = new Int32Array(bytes.buffer);
  const table = new Int32Array(addressWords(1));
  fillAddresses(table, 0, [{ words, tag: 0, peer: 5 }]);
  t.equal(findPeerBySource(table, words[0]!, words[1]!, words[2]!, words[3]!), 5);
  t.equal(findPeerBySource(table, words[0]!, words[1]!, words[2]!, words[3]! + 1), -1);
});
