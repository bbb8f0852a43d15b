import type { ReadStream, WriteStream } from 'node:tty';

/*
 * Full-screen output that restores the terminal at the end. Sequences: ECMA-48, and xterm's private modes 1049 (alternate
 * screen) and 25 (cursor).
 */
const ENTER = '\x1b[?1049h\x1b[?25l';
const LEAVE = '\x1b[?25h\x1b[?1049l';
const HOME = '\x1b[H';
const CLEAR_LINE = '\x1b[K';
const CLEAR_BELOW = '\x1b[J';
const INTERRUPT = '\x03';

export class Screen {
  readonly #input: ReadStream | undefined;
  readonly #output: WriteStream;
  readonly #onData: (data: Buffer) => void;

  /**
   * Switches to the alternate screen. The caller must call `leave` in every case.
   * @param input source of keys if it is a terminal
   * @param pressed called with each key; Ctrl-C counts as `q`
   */
  constructor(input: ReadStream, output: WriteStream, pressed: (key: string) => void) {
    this.#output = output;
    this.#input = input.isTTY ? input : undefined;
    this.#onData = data => {
      for (const key of data.toString('utf8')) pressed(key === INTERRUPT ? 'q' : key);
    };
    this.#input?.setRawMode(true).resume().on('data', this.#onData);
    output.write(ENTER);
  }

  get rows(): number {
    return this.#output.rows || 24;
  }

  get columns(): number {
    return this.#output.columns || 80;
  }

  /** Replaces the content of the screen. Text that does not fit is cut off. */
  show(text: string): void {
    const lines = text.trimEnd().split('\n').slice(0, this.rows);
    const picture = lines.map(line => line.slice(0, this.columns) + CLEAR_LINE).join('\r\n');
    this.#output.write(HOME + picture + CLEAR_BELOW);
  }

  leave(): void {
    this.#input?.off('data', this.#onData).setRawMode(false).pause();
    this.#output.write(LEAVE);
  }
}
