/**
 * Says on standard error what is going on: one line that is rewritten on a terminal, else one line a step.
 * The estimate is the sum of what the steps said they would take, scaled by how they did so far.
 */
export class Progress {
  readonly #stream: NodeJS.WriteStream;
  readonly #total: number;
  readonly #began = performance.now();
  /** Announced seconds of the steps that are over. */
  #done = 0;
  #current = 0;
  #currentBegan = 0;
  #label = '';
  #timer: NodeJS.Timeout | undefined;

  /** @param totalSeconds sum of what all steps will announce */
  constructor(totalSeconds: number, stream: NodeJS.WriteStream = process.stderr) {
    this.#total = totalSeconds;
    this.#stream = stream;
    if (!stream.isTTY) return;
    this.#timer = setInterval(() => this.#draw(), 200);
    this.#timer.unref();
  }

  /** Begins a step that takes about `seconds`; the one before is over. */
  step(label: string, seconds: number): void {
    this.#done += this.#current;
    this.#current = seconds;
    this.#currentBegan = performance.now();
    this.#label = label;
    if (this.#stream.isTTY) this.#draw();
    else this.#stream.write(`[${this.#percent()} %] ${label}\n`);
  }

  /** Ends the display. */
  end(): void {
    clearInterval(this.#timer);
    if (this.#stream.isTTY) this.#stream.write('\r\x1b[K');
  }

  /** Announced seconds that are behind us. */
  #behind(): number {
    const here = Math.min(this.#current, (performance.now() - this.#currentBegan) / 1000);
    return this.#done + here;
  }

  #percent(): number {
    return this.#total === 0 ? 100 : Math.min(99, Math.floor((this.#behind() / this.#total) * 100));
  }

  #left(): number {
    const behind = this.#behind();
    const pace = behind > 2 ? (performance.now() - this.#began) / 1000 / behind : 1;
    return Math.max(0, Math.ceil((this.#total - behind) * pace));
  }

  #draw(): void {
    const percent = this.#percent();
    const bar = '#'.repeat(Math.round(percent / 5)).padEnd(20, '.');
    const line = `[${bar}] ${String(percent).padStart(2)} %  ${this.#left()} s left  ${this.#label}`;
    this.#stream.write(`\r\x1b[K${line.slice(0, (this.#stream.columns ?? 80) - 1)}`);
  }
}
