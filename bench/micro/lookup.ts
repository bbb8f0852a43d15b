import { fdbWords, findMac } from '../../src/dataplane/tables/fdb.ts';
import { findPrefix4, findPrefix6, lpm4Words, lpm6Words } from '../../src/dataplane/tables/lpm.ts';
import { fillFdb, fillLpm4, fillLpm6 } from '../../test/fixtures/tables.ts';
import type { Case } from './case.ts';

const SIZES = [10, 1_000, 100_000];
/** Look-ups of one call, over as many different keys: a real table is not asked for the same thing again and again. */
const LOOKUPS = 4096;

/** Key number `i` of a call that asks a table of `size` entries; strides through the whole table. */
const pick = (i: number, size: number) => (Math.imul(i, 0x9e3779b1) >>> 0) % size;

/** Finding the peer of a frame: MAC (vxlan), IPv4 and IPv6 prefix (udp), all hits. */
export function lookups(): Case[] {
  return SIZES.flatMap(size => [macs(size), prefixes4(size), prefixes6(size)]);
}

function macs(size: number): Case {
  const table = new Int32Array(new SharedArrayBuffer(fdbWords(size) * 4));
  const low = (i: number) => Math.imul(i + 1, 0x01000193);
  fillFdb(
    table,
    Array.from({ length: size }, (_, i) => ({ hi: 0x0a58, lo: low(i), peer: i & 0xfff })),
  );
  const asked = Int32Array.from({ length: LOOKUPS }, (_, i) => low(pick(i, size)));
  return {
    name: 'FDB, MAC',
    size: `${size}`,
    operations: LOOKUPS,
    run() {
      let found = 0;
      for (let i = 0; i < LOOKUPS; i++) found = (found + findMac(table, 0x0a58, asked[i]!)) | 0;
      return found;
    },
  };
}

function prefixes4(size: number): Case {
  const table = new Int32Array(new SharedArrayBuffer(lpm4Words(size) * 4));
  const network = (i: number) => (0x0a000000 + i * 256) | 0;
  fillLpm4(
    table,
    Array.from({ length: size }, (_, i) => ({ words: [network(i)], length: 24, peer: i & 0xfff })),
  );
  const asked = Int32Array.from({ length: LOOKUPS }, (_, i) => network(pick(i, size)) + 7);
  return {
    name: 'longest prefix, IPv4 /24',
    size: `${size}`,
    operations: LOOKUPS,
    run() {
      let found = 0;
      for (let i = 0; i < LOOKUPS; i++) found = (found + findPrefix4(table, asked[i]!)) | 0;
      return found;
    },
  };
}

function prefixes6(size: number): Case {
  const table = new Int32Array(new SharedArrayBuffer(lpm6Words(size) * 4));
  const second = (i: number) => (0x02440000 + i) | 0;
  const first = 0xfd000010 | 0;
  fillLpm6(
    table,
    Array.from({ length: size }, (_, i) => ({
      words: [first, second(i), 0, 0],
      length: 64,
      peer: i & 0xfff,
    })),
  );
  const asked = Int32Array.from({ length: LOOKUPS }, (_, i) => second(pick(i, size)));
  return {
    name: 'longest prefix, IPv6 /64',
    size: `${size}`,
    operations: LOOKUPS,
    run() {
      let found = 0;
      for (let i = 0; i < LOOKUPS; i++) found = (found + findPrefix6(table, first, asked[i]!, 0, 7)) | 0;
      return found;
    },
  };
}
