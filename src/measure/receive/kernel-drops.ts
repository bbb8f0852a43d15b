import { native } from '../../native/load.ts';

/** SK_MEMINFO_VARS, and of these the drops of the socket (linux/sock_diag.h). */
const WORDS = 9;
const DROPS = 8;

/** Datagrams that the kernel dropped at a socket: its counter has 32 bits. */
export class KernelDrops {
  readonly #fd: number;
  readonly #words = new Int32Array(WORDS);
  #last = 0;
  #total = 0;

  constructor(fd: number) {
    this.#fd = fd;
    this.read();
    this.#total = 0;
  }

  /** Drops since this object was made. */
  read(): number {
    if (native.udpMemory(this.#fd, this.#words) < 0) return this.#total;
    const now = (this.#words[DROPS] ?? 0) >>> 0;
    this.#total += (now - this.#last) >>> 0;
    this.#last = now;
    return this.#total;
  }
}
