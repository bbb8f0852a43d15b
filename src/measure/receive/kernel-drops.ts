import { elementAt } from '../../base/at.ts';
import { SK_MEMINFO_DROPS, SK_MEMINFO_VARS } from '../../dataplane/descriptor/native-arguments.ts';
import { native } from '../../native/load.ts';

/** Datagrams that the kernel dropped at a socket: its counter has 32 bits. */
export class KernelDrops {
  readonly #fd: number;
  readonly #words = new Int32Array(SK_MEMINFO_VARS);
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
    const now = elementAt(this.#words, SK_MEMINFO_DROPS) >>> 0;
    this.#total += (now - this.#last) >>> 0;
    this.#last = now;
    return this.#total;
  }
}
