/** One line on a terminal that is written again and again; nothing where standard error is none. */
export class ProgressLine {
  #width = 0;

  show(text: string): void {
    if (!process.stderr.isTTY) return;
    const line = text.slice(0, (process.stderr.columns || 80) - 1);
    process.stderr.write(`\r${line.padEnd(this.#width)}`);
    this.#width = line.length;
  }

  /** Removes the line. */
  clear(): void {
    if (this.#width > 0) process.stderr.write(`\r${''.padEnd(this.#width)}\r`);
    this.#width = 0;
  }
}
