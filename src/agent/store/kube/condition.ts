import { Backoff } from '../../../base/backoff.ts';
import { type Clock, monotonicMs } from '../../../base/clock.ts';
import type { NodeObject } from './node.ts';

/** Writes that the reconciler makes; each fails with an error and is tried again. */
export interface ConditionWriter {
  /** Sets the Node's condition NetworkUnavailable to False. @returns the Node as the server has it then */
  setCondition(): Promise<NodeObject>;
  /** Posts an Event about the Node that is ready. */
  tellReady(message: string): Promise<void>;
  /** A write failed (a reason), or none fails any more (undefined). */
  failing(reason: unknown): void;
}

const TYPE = 'NetworkUnavailable';
/** A further write within this time waits longer each time: another program sets the condition as well. */
const FIGHT_MS = 60_000;

/**
 * Keeps the condition NetworkUnavailable of this node's Node at False from the moment that the agent is ready: compared
 * in every change of the Node that the watch shows, also when the Node was deleted and created again. One Event per
 * readiness and per uid. A write that fails is repeated until it holds or the store is closed.
 */
export class NodeCondition {
  readonly #writer: ConditionWriter;
  readonly #isMaintained: boolean;
  readonly #clock: Clock;
  readonly #abort = new AbortController();
  readonly #fight = new Backoff(500, 30_000);
  #node: { uid: string | undefined; status: string | undefined } | undefined;
  /** Text of the Event; undefined before the agent is ready for the first time. */
  #message: string | undefined;
  #mustSet = false;
  #mustTell = false;
  #wroteAt = Number.NEGATIVE_INFINITY;
  #working: Promise<void> | undefined;

  /** @param isMaintained false: only Events are written (--set-node-network-unavailable=false) */
  constructor(writer: ConditionWriter, isMaintained: boolean, clock: Clock = monotonicMs) {
    this.#writer = writer;
    this.#isMaintained = isMaintained;
    this.#clock = clock;
  }

  /** The agent is ready (again). */
  ready(message: string): void {
    this.#message = message;
    this.#mustSet = true;
    this.#mustTell = true;
    this.#begin();
  }

  /** The Node as the server has it; undefined: it is gone. */
  seen(node: NodeObject | undefined): void {
    const former = this.#node;
    if (!node) {
      // What is created in its place is another Node, whatever its uid.
      if (former) this.#node = { uid: undefined, status: undefined };
      return;
    }
    const { uid } = node.metadata;
    const status = node.status?.conditions?.find(({ type }) => type === TYPE)?.status;
    this.#node = { uid, status };
    if (former && former.uid !== uid && this.#message !== undefined) this.#mustTell = true;
    this.#begin();
  }

  async close(): Promise<void> {
    this.#abort.abort();
    await this.#working;
  }

  get #isSettingDue(): boolean {
    if (!this.#isMaintained || this.#message === undefined) return false;
    return this.#mustSet || (this.#node?.uid !== undefined && this.#node.status !== 'False');
  }

  #begin(): void {
    this.#working ??= this.#work().finally(() => {
      this.#working = undefined;
      // A call may have come after the end of the loop.
      if (!this.#abort.signal.aborted && (this.#isSettingDue || this.#mustTell)) this.#begin();
    });
  }

  async #work(): Promise<void> {
    const backoff = new Backoff(500, 30_000);
    const { signal } = this.#abort;
    while (!signal.aborted && (this.#isSettingDue || this.#mustTell)) {
      try {
        if (this.#isSettingDue) await this.#set();
        if (this.#mustTell) {
          // Before the write: a call of `ready` while it is under way asks for another Event.
          this.#mustTell = false;
          try {
            if (this.#message !== undefined) await this.#writer.tellReady(this.#message);
          } catch (error) {
            this.#mustTell = true;
            throw error;
          }
        }
        this.#writer.failing(undefined);
        backoff.reset();
      } catch (error) {
        if (signal.aborted) return;
        this.#writer.failing(error);
        await backoff.wait(signal);
      }
    }
  }

  async #set(): Promise<void> {
    if (!this.#mustSet && this.#clock() - this.#wroteAt < FIGHT_MS) {
      await this.#fight.wait(this.#abort.signal);
      if (this.#abort.signal.aborted || !this.#isSettingDue) return;
    } else this.#fight.reset();
    const before = this.#node;
    const node = await this.#writer.setCondition();
    this.#wroteAt = this.#clock();
    this.#mustSet = false;
    // A change that the watch showed during the write may be newer than the answer.
    if (this.#node === before) this.seen(node);
  }
}
