import { parentPort, workerData } from 'node:worker_threads';
import { findMac } from '../../../src/shm/fdb.ts';
import { findPrefix4 } from '../../../src/shm/lpm.ts';
import { PEER_INNER_MTU, PEER_PORT, PEER_STRIDE } from '../../../src/shm/peers.ts';
import { enterTables, leaveTables, openReader, type TableView } from '../../../src/shm/tables.ts';
import { KNOWN_PORT, tagOf } from './generations.ts';

/*
 * A worker as the forwarder has it: enters, looks things up for a while, leaves, sometimes sleeps. It reports every
 * batch in which two look-ups did not belong to one generation.
 */
export interface ReaderReport {
  batches: number;
  generations: number;
  torn: string[];
}

const { memory, reader, stop, seen } = workerData as {
  memory: SharedArrayBuffer;
  reader: number;
  stop: Int32Array;
  seen: Int32Array;
};
const tables = openReader(memory, reader);

/** What is wrong with a batch, or '' when all that was looked up belongs to the generation of `tag`. */
function wrongIn(view: TableView, tag: number, peers: number): string {
  for (let peer = 0; peer < peers; peer++) {
    const slot = findPrefix4(view.prefixes4, (10 << 24) | (peer << 8) | 1);
    if (slot === -1) return `no prefix of peer ${peer}`;
    const at = slot * PEER_STRIDE;
    if (view.peers[at + PEER_INNER_MTU] !== tag)
      return `peer ${peer}: ${view.peers[at + PEER_INNER_MTU]} in ${tag}`;
    if (view.peers[at + PEER_PORT] !== KNOWN_PORT) return `peer ${peer}: port ${view.peers[at + PEER_PORT]}`;
    if (findMac(view.fdb, tag, peer) !== slot) return `peer ${peer}: the MAC of ${tag} leads elsewhere`;
  }
  return '';
}

const report: ReaderReport = { batches: 0, generations: 0, torn: [] };
let last = -1;
while (Atomics.load(stop, 0) === 0) {
  const view = enterTables(tables);
  const tag = tagOf(view);
  for (let look = 0; look < 3; look++) {
    const wrong = wrongIn(view, tag, 16);
    if (wrong !== '' && report.torn.length < 5) report.torn.push(wrong);
  }
  report.batches++;
  if (tag !== last) Atomics.store(seen, reader, ++report.generations);
  last = tag;
  // Every third reader never leaves, as one under full load does; the others wait as in the kernel.
  if (reader % 3 === 0) continue;
  leaveTables(tables);
  if (report.batches % 16 === 0) Atomics.wait(stop, 0, 0, reader);
}
leaveTables(tables);
parentPort!.postMessage(report);
