import { type MessagePort, receiveMessageOnPort } from 'node:worker_threads';
import { heapTrim } from '../base/memory/heap-trim.ts';
import { type Counters, counterBlock, createCounters, openCounters } from './descriptor/counters.ts';
import type { TableCapacity } from './tables/capacity.ts';
import type { TablesWriter } from './tables/writer.ts';

/*
 * Tables and counters that grow while workers carry packets. The control thread makes larger memory, posts it to each
 * worker and then raises the version in the orders; a worker reads the version between two batches, copies its
 * counts into its block of the new counters, and stores that version as its own. Until all workers have done so, nothing is
 * published: a worker may still forward by the old tables, which stay unchanged. No packet waits.
 */
const STOP = 0;
const VERSION = 1;
const DIRECTIONS = 2;

/** The memory of a worker, passed to it at its start and when the memory grows. Each direction has a block of counters. */
export interface WorkerMemory {
  readonly tables: SharedArrayBuffer;
  readonly counters: SharedArrayBuffer;
  readonly version: number;
}

/** The memory of a data plane, for the control thread. Directions of queues are numbered, whichever worker serves them. */
export class GrowingMemory {
  /** Orders to the workers: whether to end, which version of the memory to use, and which one each direction uses. */
  readonly orders: SharedArrayBuffer;
  readonly #orders: Int32Array;
  readonly #writer: TablesWriter;
  readonly #directions: number;
  /** By version: the newest, and those that workers still use. */
  readonly #counters = new Map<number, Counters>();
  #version = 0;

  constructor(writer: TablesWriter, directions: number) {
    this.orders = new SharedArrayBuffer((DIRECTIONS + directions) * 4);
    this.#orders = new Int32Array(this.orders);
    this.#writer = writer;
    this.#directions = directions;
    this.#counters.set(0, openCounters(createCounters(directions, writer.slots.capacity)));
  }

  /** The counters, the block of each direction where it counts now. */
  get counters(): Counters {
    const newest = this.#countersOf(this.#version);
    if (this.#counters.size === 1) return newest;
    const blocks = newest.blocks.map((_, direction) => this.#blockOf(direction));
    return { ...newest, blocks };
  }

  /** The block in which a direction counts now. */
  #blockOf(direction: number): Float64Array {
    return counterBlock(this.#countersOf(Atomics.load(this.#orders, DIRECTIONS + direction)), direction);
  }

  #countersOf(version: number): Counters {
    const counters = this.#counters.get(version);
    if (!counters) throw new Error(`bug: no counters of version ${version}`);
    return counters;
  }

  /** The memory for a worker that starts. Its directions continue with the counts of its predecessor. */
  start(directions: readonly number[]): WorkerMemory {
    for (const direction of directions) this.#move(direction);
    return this.#newest();
  }

  #move(direction: number): void {
    const version = this.#version;
    if (Atomics.load(this.#orders, DIRECTIONS + direction) === version) return;
    counterBlock(this.#countersOf(version), direction).set(this.#blockOf(direction));
    Atomics.store(this.#orders, DIRECTIONS + direction, version);
  }

  #newest(): WorkerMemory {
    const version = this.#version;
    return { tables: this.#writer.memory, counters: this.#countersOf(version).memory, version };
  }

  /** Makes the memory larger. @param post sends the memory to all running workers */
  grow(capacity: TableCapacity, post: (memory: WorkerMemory) => void): void {
    this.#writer.grow(capacity);
    this.#version++;
    this.#counters.set(this.#version, openCounters(createCounters(this.#directions, capacity.peers)));
    post(this.#newest());
    Atomics.store(this.#orders, VERSION, this.#version);
  }

  /**
   * Finds the directions that do not use the newest memory yet. When there is none, older memory is released and the writer may
   * publish.
   * @param runs false for a direction whose worker has no thread: it gets the memory when it starts
   */
  lingering(runs: (direction: number) => boolean): number[] {
    if (this.#counters.size === 1) return [];
    const late: number[] = [];
    for (let direction = 0; direction < this.#directions; direction++) {
      if (Atomics.load(this.#orders, DIRECTIONS + direction) === this.#version) continue;
      if (runs(direction)) late.push(direction);
      else this.#move(direction);
    }
    if (late.length > 0) return late;
    for (const version of this.#counters.keys())
      if (version !== this.#version) this.#counters.delete(version);
    this.#writer.moved();
    heapTrim.released();
    return [];
  }

  /** Asks all workers to end. */
  stop(): void {
    Atomics.store(this.#orders, STOP, 1);
    Atomics.notify(this.#orders, STOP);
  }
}

/** The orders as a worker sees them. */
export class WorkerOrders {
  readonly #orders: Int32Array;
  readonly #indices: readonly number[];
  #version: number;

  /** @param indices of the directions that the worker serves */
  constructor(orders: SharedArrayBuffer, indices: readonly number[], version: number) {
    this.#orders = new Int32Array(orders);
    this.#indices = indices;
    this.#version = version;
  }

  get isOver(): boolean {
    return Atomics.load(this.#orders, STOP) !== 0;
  }

  /** Waits at most `ms` for the order to end. */
  pause(ms: number): void {
    Atomics.wait(this.#orders, STOP, 0, ms);
  }

  /** The newest memory, when there is a newer one than that in use. Call `taken` when it is in use. */
  newer(port: MessagePort): WorkerMemory | undefined {
    if (Atomics.load(this.#orders, VERSION) === this.#version) return undefined;
    let newest: WorkerMemory | undefined;
    for (;;) {
      const received = receiveMessageOnPort(port);
      if (!received) return newest;
      newest = received.message as WorkerMemory;
    }
  }

  taken({ version }: WorkerMemory): void {
    this.#version = version;
    for (const index of this.#indices) Atomics.store(this.#orders, DIRECTIONS + index, version);
  }
}
