import { RipstopError } from '../../base/errors.ts';

/*
 * Source ports of flows. Receive queues of a network card take the flow's hash: the Toeplitz hash of Microsoft's "RSS hashing
 * functions" with its published key, over source and destination address and port. The low 7 bits choose one of 128 entries of
 * the indirection table, which are dealt out to the queues in turn (ethtool_rxfh_indir_default).
 */

const KEY = Uint8Array.from(
  '6d 5a 56 da 25 5b 0e c2 41 67 25 3d 43 a3 8f b0 d0 ca 2b cb ae 7b 30 b4 77 cb 2d a3 80 30 f2 0c 6a 42 b7 3b be ac 01 fa'.split(
    ' ',
  ),
  byte => Number.parseInt(byte, 16),
);
const INDIRECTION = 128;

/** Ports for sources (RFC 6335: dynamic ports). */
const FIRST = 49_152;
const LAST = 65_535;

/** The Toeplitz hash of `input`, an unsigned 32-bit number. */
export function toeplitz(input: Uint8Array): number {
  let hash = 0;
  for (const [at, byte] of input.entries())
    for (let bit = 0; bit < 8; bit++) if ((byte & (0x80 >> bit)) !== 0) hash ^= keyWord(at * 8 + bit);
  return hash >>> 0;
}

/** 32 bits of the key from `bit` on. */
function keyWord(bit: number): number {
  const at = bit >> 3;
  const shift = bit & 7;
  const word =
    ((KEY[at] ?? 0) << 24) | ((KEY[at + 1] ?? 0) << 16) | ((KEY[at + 2] ?? 0) << 8) | (KEY[at + 3] ?? 0);
  return shift === 0 ? word : (word << shift) | ((KEY[at + 4] ?? 0) >> (8 - shift));
}

export interface FlowEnds {
  /** 4 or 16 bytes. */
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  readonly port: number;
}

/** The receive queue of `queues` that a flow is dealt to. */
export function queueOf({ source, destination, port }: FlowEnds, sourcePort: number, queues: number): number {
  const ports = Uint8Array.of(sourcePort >> 8, sourcePort & 255, port >> 8, port & 255);
  return (toeplitz(Uint8Array.of(...source, ...destination, ...ports)) % INDIRECTION) % queues;
}

/** Source ports of `count` flows, dealt out evenly to `queues` receive queues. @throws RipstopError ECONFIG */
export function spreadPorts(ends: FlowEnds, count: number, queues: number): number[] {
  const byQueue = Array.from({ length: queues }, (): number[] => []);
  for (let port = FIRST; port <= LAST; port++) byQueue[queueOf(ends, port, queues)]?.push(port);
  const ports = Array.from(
    { length: count },
    (_, flow) => byQueue[flow % queues]?.[Math.floor(flow / queues)],
  );
  if (ports.every(port => port !== undefined)) return ports;
  throw new RipstopError(
    'ECONFIG',
    `${count} flows over ${queues} queues`,
    'the source ports do not suffice; ask for fewer',
  );
}

/** Consecutive source ports from `first` on, within those for sources. */
export function portsFrom(first: number, count: number): number[] {
  return Array.from({ length: count }, (_, at) => FIRST + ((first - FIRST + at) % (LAST - FIRST + 1)));
}
