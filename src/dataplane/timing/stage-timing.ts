import { setTimeout as sleep } from 'node:timers/promises';
import { elementAt } from '../../base/at.ts';
import {
  ASLEEP,
  AT,
  BATCHES,
  CALLS,
  createStageMemory,
  FRAMES,
  SEGMENTS,
  STAGE_NAMES,
  STAGES,
  type StageName,
  stageBlock,
  stageFlag,
} from './stages.ts';

/** What was done for one direction in an interval. */
export interface StageTotals {
  /** Length of the interval by the clock of the worker, nanoseconds; 0 when the worker did not move. */
  readonly nanoseconds: number;
  readonly asleep: number;
  readonly stages: Readonly<Record<StageName, number>>;
  readonly batches: number;
  readonly frames: number;
  readonly segments: number;
  readonly calls: number;
}

/** How long a worker may take to answer a wake-up, ms; a heartbeat comes every second as well. */
const ANSWER_MS = 2500;
const LOOK_MS = 2;

/** The control thread's side of stage timing: on while a client waits for a measurement. */
export class StageTiming {
  readonly memory: SharedArrayBuffer;
  readonly #directions: number;
  #measuring = 0;

  constructor(directions: number) {
    this.memory = createStageMemory(directions);
    this.#directions = directions;
  }

  /**
   * Times the stages of all directions. Several measurements may overlap.
   * @param wake ends the wait of the worker of a direction, so that its block is up to date
   * @returns by direction
   */
  async measure(milliseconds: number, wake: (direction: number) => void): Promise<StageTotals[]> {
    const flag = stageFlag(this.memory);
    this.#measuring++;
    Atomics.store(flag, 0, 1);
    try {
      const before = await this.#read(wake);
      await sleep(milliseconds);
      const after = await this.#read(wake);
      return after.map((words, direction) => difference(before[direction] ?? words, words));
    } finally {
      this.#measuring--;
      if (this.#measuring === 0) Atomics.store(flag, 0, 0);
    }
  }

  /** Copies of the blocks after each worker has moved; of one that does not move, after `ANSWER_MS`. */
  async #read(wake: (direction: number) => void): Promise<Float64Array[]> {
    const blocks = Array.from({ length: this.#directions }, (_, direction) =>
      stageBlock(this.memory, direction),
    );
    const starts = blocks.map(block => elementAt(block, AT));
    const deadline = performance.now() + ANSWER_MS;
    for (;;) {
      const idle = blocks.flatMap((block, direction) => (block[AT] === starts[direction] ? [direction] : []));
      if (idle.length === 0 || performance.now() > deadline) return blocks.map(block => block.slice());
      for (const direction of idle) wake(direction);
      await sleep(LOOK_MS);
    }
  }
}

function difference(before: Float64Array, after: Float64Array): StageTotals {
  const of = (word: number) => elementAt(after, word) - elementAt(before, word);
  const stages = Object.fromEntries(STAGE_NAMES.map((name, at) => [name, of(STAGES + at)]));
  return {
    // A worker that was started again has a clock of its own.
    nanoseconds: Math.max(0, of(AT)),
    asleep: of(ASLEEP),
    stages: stages as Record<StageName, number>,
    batches: of(BATCHES),
    frames: of(FRAMES),
    segments: of(SEGMENTS),
    calls: of(CALLS),
  };
}
