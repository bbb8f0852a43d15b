import t from 'tap';
import { PEERS_MAX } from '../../src/dataplane/tables/capacity.ts';
import { fdbWords, findMac, type MacEntry } from '../../src/dataplane/tables/fdb.ts';
import { Random, seedOfRun } from '../fixtures/random.ts';
import { fillFdb } from '../fixtures/tables.ts';

/** The slow obvious FDB. */
class MapFdb {
  readonly #peers = new Map<string, number>();

  constructor(entries: readonly MacEntry[]) {
    for (const { hi, lo, peer } of entries) this.#peers.set(`${hi}:${lo}`, peer);
  }

  find(hi: number, lo: number): number {
    return this.#peers.get(`${hi}:${lo}`) ?? -1;
  }
}

const seed = seedOfRun();
t.comment(`seed ${seed}`);
const random = new Random(seed);

/** Distinct MACs: at random as VTEPs have them, or counting upwards as pods often do. */
function macs(count: number, counting: boolean): MacEntry[] {
  const entries = new Map<string, MacEntry>();
  const first = random.word();
  while (entries.size < count) {
    const hi = counting ? 0x0242 : random.below(0x10000);
    const lo = counting ? (first + entries.size) | 0 : random.word();
    entries.set(`${hi}:${lo}`, { hi, lo, peer: random.below(PEERS_MAX) });
  }
  return [...entries.values()];
}

for (const count of [0, 1, 10, 1000, 100_000])
  for (const counting of [false, true])
    t.test(`${count} ${counting ? 'counting' : 'random'} MACs agree with a Map`, async t => {
      const entries = macs(count, counting);
      const table = new Int32Array(fdbWords(count));
      // What stood there before must not shine through.
      table.fill(-1);
      fillFdb(table, entries);
      const golden = new MapFdb(entries);
      let wrong = 0;
      for (const { hi, lo } of entries) if (findMac(table, hi, lo) !== golden.find(hi, lo)) wrong++;
      for (let i = 0; i < 20_000; i++) {
        const near = count > 0 ? entries[random.below(count)]! : { hi: 0, lo: 0 };
        const hi = i & 1 ? near.hi : near.hi ^ (1 << random.below(16));
        const lo = i & 1 ? near.lo ^ (1 << random.below(32)) : near.lo;
        if (findMac(table, hi, lo) !== golden.find(hi, lo)) wrong++;
      }
      t.equal(wrong, 0);
    });

t.test('a rebuilt table has no entry of the old one', async t => {
  const table = new Int32Array(fdbWords(1000));
  const old = macs(1000, false);
  fillFdb(table, old);
  fillFdb(table, old.slice(0, 3));
  t.equal(old.filter(({ hi, lo }) => findMac(table, hi, lo) !== -1).length, 3);
});

t.test('untouched memory is an empty table', async t => {
  t.equal(findMac(new Int32Array(fdbWords(4)), 0, 0), -1);
});
