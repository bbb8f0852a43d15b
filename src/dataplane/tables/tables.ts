import { elementAt } from '../../base/at.ts';
import { RipstopError } from '../../base/errors.ts';
import { PEERS_MAX, type TableCapacity } from './capacity.ts';
import { fdbWords } from './fdb.ts';
import { lpm4Words, lpm6Words } from './lpm.ts';
import { peerWords } from './peer-table.ts';
import { addressWords } from './source-table.ts';

/*
 * All tables of a forwarder in one SharedArrayBuffer: a header, one cache line per reader, and two halves, each a
 * whole set of tables.
 *
 *   Writer    the control thread alone (`writer.ts`). It builds the half that is not current, then stores the
 *             next generation; generation g is in half g & 1.
 *   Readers   one per worker thread, each with its own line, which holds the generation that it is reading, or IDLE.
 *             `beginRead` before a batch, `endRead` after it and before every wait in the kernel: an idle
 *             reader does not delay the writer, however long it sleeps.
 *   Reuse     half h is written again only when no reader's line names its generation. A reader writes its line,
 *             then looks whether the generation is still the one it wrote, and begins again when not. So either the
 *             writer sees the line and waits, or the reader sees the new generation and takes the other half.
 *   Torn read cannot happen under that rule. A reader that broke it would see a half being rebuilt: a wrong or no
 *             peer for a frame, or a probe without end; never memory outside its view.
 *   Order     Atomics are sequentially consistent. What the writer wrote before `Atomics.store` of the generation is
 *             visible to every thread that loads it; the plain stores of the tables need no order among themselves. The rule
 *             above is Dekker's: both sides store, then load the other's word, and sequential consistency forbids
 *             that both miss each other.
 *
 * A batch costs a reader two loads and, after a sleep or a new generation, one ordered store; a frame costs nothing.
 */
const CAPACITY_PEERS = 0;
const CAPACITY_MACS = 1;
const CAPACITY_PREFIXES = 2;
const CAPACITY_READERS = 3;
/** The generation has its own cache line, because the readers poll it. */
const GENERATION = 16;
const READERS = 32;
/** int32 words of a cache line. */
const LINE = 16;

/** A reader's line while it reads nothing. */
const IDLE = -1;
/** Generations stay positive and keep their parity when they wrap. */
const GENERATION_MASK = 0x7fffffff;

/** One half, as views. The hot functions of `fdb.ts`, `lpm.ts` and `source-table.ts` take these arrays. */
export interface TableView {
  /** Peer records by slot (`peer-table.ts`), which the native senders read. */
  readonly peers: Int32Array;
  /** MAC -> peer, `findMac`. */
  readonly fdb: Int32Array;
  /** IPv4 prefix -> peer, `findPrefix4`. */
  readonly prefixes4: Int32Array;
  /** IPv6 prefix -> peer, `findPrefix6`. */
  readonly prefixes6: Int32Array;
  /** Underlay source -> peer, `findPeerBySource`. */
  readonly sources: Int32Array;
  /** Overlay address of a VTEP -> peer, `neighbour-table.ts`. */
  readonly neighbours: Int32Array;
}

/** The memory as one thread sees it. */
export interface Tables {
  readonly memory: SharedArrayBuffer;
  readonly words: Int32Array;
  readonly capacity: TableCapacity;
  readonly even: TableView;
  readonly odd: TableView;
}

/** The tables as one reader sees them. */
export interface TablesReader extends Tables {
  /** Index in `words` of this reader's line. */
  readonly line: number;
}

/** Words of each table of a half, in the order in which they lie; whole cache lines. */
function regions(capacity: TableCapacity): Record<keyof TableView, number> {
  const { peers, macs, prefixes } = capacity;
  return {
    peers: peerWords(peers),
    fdb: wholeLines(fdbWords(macs)),
    prefixes4: wholeLines(lpm4Words(prefixes)),
    prefixes6: wholeLines(lpm6Words(prefixes)),
    sources: wholeLines(addressWords(peers)),
    neighbours: wholeLines(addressWords(prefixes * 2)),
  };
}

function wholeLines(words: number): number {
  return Math.ceil(words / LINE) * LINE;
}

function halfWords(capacity: TableCapacity): number {
  return Object.values(regions(capacity)).reduce((sum, words) => sum + words, 0);
}

/** Bytes of shared memory that tables of this capacity take, both halves. Divide by `peers` for the price of one. */
export function tablesBytes(capacity: TableCapacity): number {
  return (READERS + capacity.readers * LINE + 2 * halfWords(capacity)) * 4;
}

/**
 * Memory with empty tables, all readers idle.
 * @param generation of the tables that it continues
 * @throws RipstopError ECONFIG for an impossible capacity
 */
export function createTables(capacity: TableCapacity, generation = 0): SharedArrayBuffer {
  for (const [key, value] of Object.entries(capacity)) {
    const most = key === 'peers' ? PEERS_MAX : 1 << 22;
    if (Number.isInteger(value) && value >= 1 && value <= most) continue;
    throw new RipstopError('ECONFIG', `capacity.${key}: ${value} is not a whole number within 1..${most}`);
  }
  const memory = new SharedArrayBuffer(tablesBytes(capacity));
  const words = new Int32Array(memory);
  words[CAPACITY_PEERS] = capacity.peers;
  words[CAPACITY_MACS] = capacity.macs;
  words[CAPACITY_PREFIXES] = capacity.prefixes;
  words[CAPACITY_READERS] = capacity.readers;
  words[GENERATION] = generation;
  for (let reader = 0; reader < capacity.readers; reader++) words[READERS + reader * LINE] = IDLE;
  return memory;
}

/** Views of tables that another thread made. */
export function openTables(memory: SharedArrayBuffer): Tables {
  const words = new Int32Array(memory);
  const capacity = {
    peers: elementAt(words, CAPACITY_PEERS),
    macs: elementAt(words, CAPACITY_MACS),
    prefixes: elementAt(words, CAPACITY_PREFIXES),
    readers: elementAt(words, CAPACITY_READERS),
  };
  const first = READERS + capacity.readers * LINE;
  const even = viewAt(words, first, capacity);
  const odd = viewAt(words, first + halfWords(capacity), capacity);
  return { memory, words, capacity, even, odd };
}

/** The tables for reader `reader`, 0 to `capacity.readers - 1`. Each number is for one thread. */
export function openReader(memory: SharedArrayBuffer, reader: number): TablesReader {
  const tables = openTables(memory);
  if (reader < 0 || reader >= tables.capacity.readers)
    throw new RangeError(`bug: reader ${reader} of tables made for ${tables.capacity.readers} readers`);
  return { ...tables, line: READERS + reader * LINE };
}

function viewAt(words: Int32Array, first: number, capacity: TableCapacity): TableView {
  let at = first;
  const views = Object.entries(regions(capacity)).map(([name, length]) => {
    at += length;
    return [name, words.subarray(at - length, at)];
  });
  return Object.fromEntries(views) as TableView;
}

/**
 * Begins to read: the views to use until `endRead` or the next `beginRead`, whichever comes first.
 * @hot
 */
export function beginRead(reader: TablesReader): TableView {
  const words = reader.words;
  const line = reader.line;
  let generation = Atomics.load(words, GENERATION);
  while (words[line] !== generation) {
    Atomics.store(words, line, generation);
    generation = Atomics.load(words, GENERATION);
  }
  return (generation & 1) === 0 ? reader.even : reader.odd;
}

/**
 * Ends reading; the views may be overwritten from now on. Commit counters by peer before this.
 * @hot
 */
export function endRead(reader: TablesReader): void {
  Atomics.store(reader.words, reader.line, IDLE);
}

/**
 * The generation that a reader uses between `beginRead` and `endRead`.
 * @hot
 */
export function readGeneration(reader: TablesReader): number {
  return reader.words[reader.line]!;
}

/** The current generation. */
export function generationOf(tables: Tables): number {
  return Atomics.load(tables.words, GENERATION);
}

/** The current half, for the writer's thread and for cold readers on it. */
export function currentView(tables: Tables): TableView {
  return (generationOf(tables) & 1) === 0 ? tables.even : tables.odd;
}

/** Readers of a former generation: while there are any, the other half must not be written. */
export function laggingReaders(tables: Tables): number[] {
  const generation = generationOf(tables);
  const stale: number[] = [];
  for (let reader = 0; reader < tables.capacity.readers; reader++) {
    const seen = Atomics.load(tables.words, READERS + reader * LINE);
    if (seen !== IDLE && seen !== generation) stale.push(reader);
  }
  return stale;
}

/** Makes the other half the current one. */
export function publishGeneration(tables: Tables): void {
  Atomics.store(tables.words, GENERATION, (generationOf(tables) + 1) & GENERATION_MASK);
}

/** Frees the line of a reader whose thread has ended; a crash may have left it in use. */
export function removeReader(tables: Tables, reader: number): void {
  Atomics.store(tables.words, READERS + reader * LINE, IDLE);
}
