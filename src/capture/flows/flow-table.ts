import { elementAt } from '../../base/at.ts';
import { FlowEntry } from './flow-entry.ts';
import { type FlowFields, hasAddress, KEY_WORDS, retireKey, reverseKey } from './flow-fields.ts';
import { ewma, onAck, onDataSent } from './tcp-tracker.ts';

/** Slots per bucket. */
const WAYS = 8;
export const DEFAULT_CAPACITY = 8192;
/** A flow ends after this time without a packet; after FIN or RST sooner. */
export const IDLE_MS = 60_000;
const ENDED_MS = 5000;

/** Why a flow left the table: flowEndReason of IPFIX (RFC 5102 section 5.11.3). */
export const IDLE_TIMEOUT = 1;
export const END_OF_FLOW = 3;
export const LACK_OF_RESOURCES = 5;

/** Called when a flow leaves the table; key and entry are reused afterwards. @param reason flowEndReason */
export type FlowEnded = (key: Int32Array, entry: FlowEntry, reason: number) => void;

/** Sums over all flows of a peer in one direction, including those that left the table. */
export interface PeerSums {
  readonly peer: number;
  readonly direction: number;
  readonly sums: FlowEntry;
}

/** What the data plane did with a frame. */
export interface FlowOutcome {
  readonly peer: number;
  /** Verdict of a dropped frame, -1 for a forwarded one. */
  readonly dropVerdict: number;
  readonly timeMs: number;
  /** Number of frames that this one stands for, 1 if all are sampled. */
  readonly weight: number;
  /** Since when every frame was sampled, milliseconds. */
  readonly wholeSince: number;
}

/**
 * The current flows in bounded memory: a hash table of buckets with eight slots. A new flow in a full bucket evicts the
 * one with the fewest packets, so many short flows evict each other and not the long ones. The counts of an evicted flow
 * stay in the sums. One thread.
 */
export class FlowTable {
  readonly capacity: number;
  /** Number and counts of evicted flows. */
  readonly evicted = { flows: 0, packets: 0, bytes: 0 };
  /** Frames that are not IP. */
  otherFrames = 0;
  readonly #keys: Int32Array;
  readonly #entries: (FlowEntry | undefined)[];
  readonly #isUsed: Uint8Array;
  readonly #reverse = new Int32Array(KEY_WORDS);
  readonly #peers = new Map<number, PeerSums>();
  readonly #ended: FlowEnded;
  #count = 0;
  /** Wall clock of the last mark and of the one before, milliseconds. */
  #marked: number;
  #before: number;

  /** @param nowMs milliseconds since 1970-01-01 UTC */
  constructor(nowMs: number, capacity = DEFAULT_CAPACITY, ended: FlowEnded = () => {}) {
    this.capacity = 2 ** Math.ceil(Math.log2(Math.max(WAYS, capacity)));
    this.#keys = new Int32Array(this.capacity * KEY_WORDS);
    this.#entries = new Array(this.capacity);
    this.#isUsed = new Uint8Array(this.capacity);
    this.#marked = this.#before = nowMs;
    this.#ended = ended;
  }

  /** Number of flows in the table. */
  get count(): number {
    return this.#count;
  }

  /** Start of the interval over which rates are computed, milliseconds since 1970. */
  get markedAt(): number {
    return this.#before;
  }

  get peers(): Iterable<PeerSums> {
    return this.#peers.values();
  }

  /** Counts one frame. */
  add(fields: FlowFields, fate: FlowOutcome): void {
    const { timeMs, weight, peer, dropVerdict, wholeSince } = fate;
    const direction = elementAt(fields.key, 0) >>> 16;
    const { sums } = this.#sumsOf(peer, direction, timeMs);
    const entry = this.#entryOf(fields.key, timeMs);
    entry.peer = peer;
    entry.last = sums.last = Math.max(entry.last, timeMs);
    const packets = fields.packets * weight;
    if (dropVerdict < 0) {
      entry.packets += packets;
      entry.bytes += fields.bytes * weight;
      sums.packets += packets;
      sums.bytes += fields.bytes * weight;
    } else {
      entry.drops += packets;
      sums.drops += packets;
      entry.dropVerdict = sums.dropVerdict = dropVerdict;
    }
    if (!fields.isTcp) return;
    const again = onDataSent(entry, fields, timeMs) * weight;
    entry.retransmissions += again;
    sums.retransmissions += again;
    const { reverse } = entry;
    const sample = reverse ? onAck(reverse, fields, timeMs, wholeSince) : -1;
    if (!reverse || sample < 0) return;
    const other = this.#sumsOf(reverse.peer, direction ^ 1, timeMs).sums;
    other.rtt = ewma(other.rtt, sample);
    other.rttMin = other.rttMin < 0 ? sample : Math.min(other.rttMin, sample);
  }

  /** Starts a new interval for the rates and removes flows that ended. Once per second. */
  tick(nowMs: number): void {
    this.#before = this.#marked;
    this.#marked = nowMs;
    for (const { sums } of this.#peers.values()) sums.mark();
    for (let slot = 0; slot < this.capacity; slot++) {
      if (this.#isUsed[slot] === 0) continue;
      const entry = this.#entryAt(slot);
      const idle = nowMs - entry.last;
      if (idle > IDLE_MS || (entry.isEnding && idle > ENDED_MS))
        this.#end(slot, entry.isEnding ? END_OF_FLOW : IDLE_TIMEOUT);
      else entry.mark();
    }
  }

  /** Retires the flows of an address: they stay until they are idle, and further packets begin new ones. */
  retire(words: Int32Array): void {
    this.each((key, entry) => {
      if (!hasAddress(key, words)) return;
      retireKey(key);
      if (entry.reverse) entry.reverse.reverse = undefined;
      entry.reverse = undefined;
    });
  }

  /** Shows every flow; the key is valid during the call. */
  each(visitor: (key: Int32Array, entry: FlowEntry) => void): void {
    for (let slot = 0; slot < this.capacity; slot++)
      if (this.#isUsed[slot] === 1) visitor(this.#keyAt(slot), this.#entryAt(slot));
  }

  #sumsOf(peer: number, direction: number, nowMs: number): PeerSums {
    const place = peer * 2 + direction;
    const there = this.#peers.get(place);
    if (there) return there;
    const sums = new FlowEntry();
    sums.begin(nowMs);
    const made = { peer, direction, sums };
    this.#peers.set(place, made);
    return made;
  }

  #entryOf(key: Int32Array, nowMs: number): FlowEntry {
    const found = this.#find(key);
    if (found >= 0) return this.#entryAt(found);
    const slot = this.#place(key);
    const entry = this.#entries[slot] ?? new FlowEntry();
    this.#entries[slot] = entry;
    entry.begin(nowMs);
    this.#isUsed[slot] = 1;
    this.#count++;
    this.#keys.set(key, slot * KEY_WORDS);
    reverseKey(key, this.#reverse);
    const other = this.#find(this.#reverse);
    if (other >= 0) {
      entry.reverse = this.#entryAt(other);
      entry.reverse.reverse = entry;
    }
    return entry;
  }

  /** Slot of a flow, -1 when it is not there. */
  #find(key: Int32Array): number {
    const first = this.#bucket(key);
    const keys = this.#keys;
    for (let slot = first; slot < first + WAYS; slot++) {
      if (this.#isUsed[slot] === 0) continue;
      let word = 0;
      while (word < KEY_WORDS && keys[slot * KEY_WORDS + word] === key[word]) word++;
      if (word === KEY_WORDS) return slot;
    }
    return -1;
  }

  /** A free slot for a new flow; evicts one if there is none. */
  #place(key: Int32Array): number {
    const first = this.#bucket(key);
    let smallest = first;
    for (let slot = first; slot < first + WAYS; slot++) {
      if (this.#isUsed[slot] === 0) return slot;
      if (weightOf(this.#entryAt(slot)) < weightOf(this.#entryAt(smallest))) smallest = slot;
    }
    const { packets, bytes } = this.#entryAt(smallest);
    this.evicted.flows++;
    this.evicted.packets += packets;
    this.evicted.bytes += bytes;
    this.#end(smallest, LACK_OF_RESOURCES);
    return smallest;
  }

  #end(slot: number, reason: number): void {
    const entry = this.#entryAt(slot);
    this.#ended(this.#keyAt(slot), entry, reason);
    if (entry.reverse) entry.reverse.reverse = undefined;
    entry.reverse = undefined;
    this.#isUsed[slot] = 0;
    this.#count--;
  }

  /** The entry of a used slot. */
  #entryAt(slot: number): FlowEntry {
    const entry = this.#entries[slot];
    if (!entry) throw new RangeError(`bug: no flow in slot ${slot}`);
    return entry;
  }

  #keyAt(slot: number): Int32Array {
    return this.#keys.subarray(slot * KEY_WORDS, (slot + 1) * KEY_WORDS);
  }

  /** First slot of the bucket of a key. */
  #bucket(key: Int32Array): number {
    let hash = 0;
    for (const word of key) {
      hash = Math.imul(hash ^ word, 0x2c1b3c6d);
      hash ^= hash >>> 15;
    }
    hash = Math.imul(hash, 0x297a2d39);
    return ((hash ^ (hash >>> 15)) & (this.capacity / WAYS - 1)) * WAYS;
  }
}

/** The flow with the smallest weight of a bucket is evicted. */
function weightOf({ packets, drops }: FlowEntry): number {
  return packets + drops;
}
