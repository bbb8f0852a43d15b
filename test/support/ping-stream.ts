import type { Proc } from '../../bench/lab/proc.ts';
import type { Node } from '../../bench/lab/topology.ts';

/** What became of a stream: pings sent, and how many of them had no answer. */
export interface Outcome {
  readonly sent: number;
  readonly lost: number;
  /** The longest row of pings without an answer, in milliseconds. */
  readonly gapMs: number;
}

const answered = (text: string): number[] =>
  [...text.matchAll(/icmp_seq=(\d+) ttl/g)].map(match => Number(match[1]));

/** A steady stream of pings from pod to pod, so many milliseconds apart; counted when it ends. */
export class PingStream {
  readonly #proc: Proc;
  readonly #everyMs: number;

  constructor(from: Node, to: Node, everyMs = 20, family: 4 | 6 = 4) {
    this.#everyMs = everyMs;
    const interval = `-i${everyMs / 1000}`;
    this.#proc = from.pods[0]!.ns.launch(['ping', interval, '-W1', to.pods[0]!.address[family]]);
  }

  /** The sequence number of the last ping that was answered; 0 before the first. */
  get reached(): number {
    return answered(this.#proc.stdout).at(-1) ?? 0;
  }

  async end(): Promise<Outcome> {
    process.kill(this.#proc.pid, 'SIGINT');
    await this.#proc.ended;
    const text = this.#proc.stdout;
    const [, sent = 0] = /(\d+) packets transmitted/.exec(text) ?? [];
    if (!(Number(sent) > 2)) throw new Error(`ping said: ${text.slice(-500)}`);
    // The last one may be under way still.
    const expected = Number(sent) - 1;
    const seen = new Set(answered(text).filter(sequence => sequence <= expected));
    let [gap, longest] = [0, 0];
    for (let sequence = 1; sequence <= expected; sequence++) {
      gap = seen.has(sequence) ? 0 : gap + 1;
      longest = Math.max(longest, gap);
    }
    return { sent: expected, lost: expected - seen.size, gapMs: longest * this.#everyMs };
  }
}
