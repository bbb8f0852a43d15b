import type { Proc } from '../../../bench/lab/proc.ts';
import type { Node } from '../../../bench/lab/topology.ts';
import { until } from '../../../bench/lab/until.ts';

/** Outcome of a stream: pings sent, and how many of them had no answer. */
export interface Outcome {
  readonly sent: number;
  readonly lost: number;
  /** The longest run of pings without an answer, in milliseconds: for a comment, not for an assertion. */
  readonly gapMs: number;
}

const answered = (text: string): number[] =>
  [...text.matchAll(/icmp_seq=(\d+) ttl/g)].map(match => Number(match[1]));

/** A steady stream of pings from pod to pod, so many milliseconds apart; counted when it ends. */
export class PingStream {
  readonly #proc: Proc;
  readonly #everyMs: number;
  readonly #name: string;

  constructor(from: Node, to: Node, everyMs = 20, family: 4 | 6 = 4) {
    this.#everyMs = everyMs;
    this.#name = `node ${from.index} to node ${to.index}`;
    const interval = `-i${everyMs / 1000}`;
    this.#proc = from.pods[0]!.ns.launch(['ping', interval, '-W1', to.pods[0]!.address[family]]);
  }

  /** The sequence number of the last ping that was answered; 0 before the first. */
  get reached(): number {
    return answered(this.#proc.stdout).at(-1) ?? 0;
  }

  /** Waits until `count` more pings are answered: the stream flows. */
  async flows(count = 3): Promise<void> {
    const goal = this.reached + count;
    await until(`pings from ${this.#name} to be answered`, () => this.reached >= goal);
  }

  /**
   * Ends the stream, which must be answered at its end. Pings sent after the last answered one are not counted, because
   * on a busy machine their answers may still be under way.
   */
  async end(): Promise<Outcome> {
    await this.flows();
    await this.#proc.stop('SIGINT');
    const seen = new Set(answered(this.#proc.stdout));
    const sent = Math.max(...seen);
    let [gap, longest] = [0, 0];
    for (let sequence = 1; sequence <= sent; sequence++) {
      gap = seen.has(sequence) ? 0 : gap + 1;
      longest = Math.max(longest, gap);
    }
    return { sent, lost: sent - seen.size, gapMs: longest * this.#everyMs };
  }
}
