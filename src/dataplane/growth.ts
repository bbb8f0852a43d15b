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
const WORKERS = 2;

/** The memory of a worker, passed to it at its start and when the memory grows. */
export interface WorkerMemory {
  readonly tables: SharedArrayBuffer;
  readonly counters: SharedArrayBuffer;
  readonly version: number;
}

/** The memory of a data plane, for the control thread. */
export class GrowingMemory {
  /** Orders to the workers: whether to end, which version of the memory to use, and which one each of them uses. */
  readonly orders: SharedArrayBuffer;
  readonly #orders: Int32Array;
  readonly #writer: TablesWriter;
  readonly #workers: number;
  /** By version: the newest, and those that workers still use. */
  readonly #counters = new Map<number, Counters>();
  #version = 0;

  constructor(writer: TablesWriter, workers: number) {
    this.orders = new SharedArrayBuffer((WORKERS + workers) * 4);
    this.#orders = new Int32Array(this.orders);
    this.#writer = writer;
    this.#workers = workers;
    this.#counters.set(0, openCounters(createCounters(workers, writer.slots.capacity)));
  }

  /** The counters, the block of each worker where it counts now. */
  get counters(): Counters {
    const newest = this.#countersOf(this.#version);
    if (this.#counters.size === 1) return newest;
    const blocks = newest.blocks.map((_, worker) => this.#blockOf(worker));
    return { ...newest, blocks };
  }

  /** The block in which a worker counts now. */
  #blockOf(worker: number): Float64Array {
    return counterBlock(this.#countersOf(Atomics.load(this.#orders, WORKERS + worker)), worker);
  }

  #countersOf(version: number): Counters {
    const counters = this.#counters.get(version);
    if (!counters) throw new Error(`bug: no counters of version ${version}`);
    return counters;
  }

  /** The memory for a worker that starts. Its counts continue from those of its predecessor. */
  start(worker: number): WorkerMemory {
    const version = this.#version;
    if (Atomics.load(this.#orders, WORKERS + worker) !== version) {
      counterBlock(this.#countersOf(version), worker).set(this.#blockOf(worker));
      Atomics.store(this.#orders, WORKERS + worker, version);
    }
    return this.#newest();
  }

  #newest(): WorkerMemory {
    const version = this.#version;
    return { tables: this.#writer.memory, counters: this.#countersOf(version).memory, version };
  }

  /** Makes the memory larger. @param post sends the memory to all running workers */
  grow(capacity: TableCapacity, post: (memory: WorkerMemory) => void): void {
    this.#writer.grow(capacity);
    this.#version++;
    this.#counters.set(this.#version, openCounters(createCounters(this.#workers, capacity.peers)));
    post(this.#newest());
    Atomics.store(this.#orders, VERSION, this.#version);
  }

  /**
   * Finds the workers that do not use the newest memory yet. When there is none, older memory is released and the writer may
   * publish.
   * @param runs false for a worker that has no thread: it gets the memory when it starts
   * @returns their indices
   */
  lingering(runs: (worker: number) => boolean): number[] {
    if (this.#counters.size === 1) return [];
    const late: number[] = [];
    for (let worker = 0; worker < this.#workers; worker++) {
      if (Atomics.load(this.#orders, WORKERS + worker) === this.#version) continue;
      if (runs(worker)) late.push(worker);
      else this.start(worker);
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
  readonly #worker: number;
  #version: number;

  constructor(orders: SharedArrayBuffer, worker: number, version: number) {
    this.#orders = new Int32Array(orders);
    this.#worker = worker;
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
    Atomics.store(this.#orders, WORKERS + this.#worker, version);
  }
}
