import type { Peer } from '../../src/dataplane/descriptor/peer.ts';
import { clearFdb, type MacEntry, putMac } from '../../src/dataplane/tables/fdb.ts';
import {
  clearLpm4,
  clearLpm6,
  type PrefixEntry,
  putPrefix4,
  putPrefix6,
  setLengths4,
  setLengths6,
} from '../../src/dataplane/tables/lpm.ts';
import { type AddressEntry, clearAddresses, putAddress } from '../../src/dataplane/tables/source-table.ts';
import type { TablesWriter } from '../../src/dataplane/tables/writer.ts';

/* Whole tables at once, for tests and benchmarks; the writer changes them entry by entry. */

export function fillFdb(table: Int32Array, entries: readonly MacEntry[]): void {
  clearFdb(table, entries.length);
  for (const entry of entries) putMac(table, entry);
}

export function fillLpm4(table: Int32Array, entries: readonly PrefixEntry[]): void {
  clearLpm4(table, entries.length);
  setLengths4(table, lengthsOf(entries));
  for (const entry of entries) putPrefix4(table, entry);
}

export function fillLpm6(table: Int32Array, entries: readonly PrefixEntry[]): void {
  clearLpm6(table, entries.length);
  setLengths6(table, lengthsOf(entries));
  for (const entry of entries) putPrefix6(table, entry);
}

function lengthsOf(entries: readonly PrefixEntry[]): number[] {
  return [...new Set(entries.map(({ length }) => length))].sort((a, b) => b - a);
}

export function fillAddresses(table: Int32Array, base: number, entries: readonly AddressEntry[]): void {
  clearAddresses(table, base, entries.length);
  for (const entry of entries) putAddress(table, base, entry);
}

const ids = new WeakMap<TablesWriter, ReadonlySet<string>>();

/** Makes `peers` the whole set of peers. @returns as `TablesWriter.change` */
export function publish(writer: TablesWriter, peers: readonly Peer[]): boolean {
  const wanted = new Set(peers.map(({ id }) => id));
  const removed = [...(ids.get(writer) ?? [])].filter(id => !wanted.has(id));
  ids.set(writer, wanted);
  return writer.change({ set: peers, removed });
}
