import { PEER_INNER_MTU } from '../../../src/shm/peers.ts';
import type { TableView } from '../../../src/shm/tables.ts';
import type { PeerInput } from '../../../src/shm/tables-writer.ts';
import { node } from './peer-inputs.ts';

/** Every generation of the concurrency test has sixteen peers that all carry its tag. */
export const PEERS = 16;
export const KNOWN_PORT = 8472;

/** Peers of generation `tag`, 1..65535: in their inner MTU and in the first bytes of their MACs. */
export function generation(tag: number): PeerInput[] {
  return Array.from({ length: PEERS }, (_, n) =>
    node(n, { port: KNOWN_PORT, innerMtu: tag, mac: { hi: tag, lo: n } }),
  );
}

/** The tag of what a reader sees. */
export function tagOf(view: TableView): number {
  return view.peers[PEER_INNER_MTU]!;
}
