import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Namespace } from '../../../bench/lab/namespace.ts';

const PROGRAM = fileURLToPath(new URL('./packet-source-program.js', import.meta.url));

interface Owner {
  teardown(undo: () => void): void;
}

/** Sends datagrams of any content from one address of a namespace: a process of its own that knows node:dgram alone. */
export class PacketSource {
  readonly #child: ChildProcess;
  #asked = 0;
  #sent = 0;
  #wake = () => {};

  constructor(t: Owner, ns: Namespace, from: string, to: string, port: number) {
    const [command, ...args] = ns.argv([process.execPath, PROGRAM, from, to, `${port}`]);
    this.#child = spawn(command!, args, { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#child.stdout!.setEncoding('utf8').on('data', (text: string) => {
      this.#sent += text.split('\n').reduce((sum, line) => sum + Number(line), 0);
      this.#wake();
    });
    t.teardown(() => this.#child.kill('SIGKILL'));
  }

  /** Resolves when the kernel has taken all of them. */
  async fire(datagrams: readonly Uint8Array[]): Promise<void> {
    for (const datagram of datagrams) {
      const length = Buffer.alloc(4);
      length.writeUInt32LE(datagram.length);
      this.#child.stdin!.write(length);
      if (datagram.length > 0) this.#child.stdin!.write(datagram);
    }
    this.#asked += datagrams.length;
    while (this.#sent < this.#asked) {
      if (this.#child.exitCode !== null) throw new Error(`the gun ended with code ${this.#child.exitCode}`);
      await new Promise<void>(resolve => {
        const timer = setTimeout(resolve, 1000);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }
}
