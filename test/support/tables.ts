import type { Peer } from '../../src/dataplane/descriptor/peer.ts';
import { FDB, type MacEntry } from '../../src/dataplane/tables/fdb.ts';
import {
  PREFIXES4,
  PREFIXES6,
  type PrefixEntry,
  setLengths4,
  setLengths6,
} from '../../src/dataplane/tables/lpm.ts';
import { type AddressEntry, addressTable } from '../../src/dataplane/tables/source-table.ts';
import type { TablesWriter } from '../../src/dataplane/tables/writer.ts';

/* Whole tables at once, for tests and benchmarks; the writer changes them entry by entry. */

export function fillFdb(table: Int32Array, entries: readonly MacEntry[]): void {
  FDB.clear(table);
  for (const entry of entries) FDB.put(table, entry);
}

export function fillLpm4(table: Int32Array, entries: readonly PrefixEntry[]): void {
  PREFIXES4.clear(table);
  setLengths4(table, lengthsOf(entries));
  for (const entry of entries) PREFIXES4.put(table, entry);
}

export function fillLpm6(table: Int32Array, entries: readonly PrefixEntry[]): void {
  PREFIXES6.clear(table);
  setLengths6(table, lengthsOf(entries));
  for (const entry of entries) PREFIXES6.put(table, entry);
}

function lengthsOf(entries: readonly PrefixEntry[]): number[] {
  return [...new Set(entries.map(({ length }) => length))].sort((a, b) => b - a);
}

export function fillAddresses(table: Int32Array, base: number, entries: readonly AddressEntry[]): void {
  const addresses = addressTable(base, (entry: AddressEntry) => entry);
  addresses.clear(table);
  for (const entry of entries) addresses.put(table, entry);
}

const ids = new WeakMap<TablesWriter, ReadonlySet<string>>();

/** Makes `peers` the whole set of peers. @returns as `TablesWriter.change` */
export function publish(writer: TablesWriter, peers: readonly Peer[]): boolean {
  const wanted = new Set(peers.map(({ id }) => id));
  const removed = [...(ids.get(writer) ?? [])].filter(id => !wanted.has(id));
  ids.set(writer, wanted);
  return writer.change({ set: peers, removed });
}
