import { type FileHandle, open, rename, stat, unlink } from 'node:fs/promises';
import { basename, dirname, extname, join } from 'node:path';
import { codeOf, type ErrorCode, hasCode, messageOf, RipstopError } from '../../base/errors.ts';
import { ByteQueue } from '../format/byte-queue.ts';
import type { CaptureFormat, InterfaceStatistics, Packet } from '../format/packet.ts';
import { type CaptureSink, FLUSH_BYTES } from './sink.ts';

/** When a capture continues in a new file. */
export interface Rotation {
  /** Start a new file before one exceeds this many bytes; the closing statistics are not counted. */
  readonly bytes?: number;
  /** Start a new file when one is older than this many seconds. */
  readonly seconds?: number;
  /** Number of files to keep; the oldest is removed. */
  readonly files?: number;
}

export interface FileSinkOptions {
  readonly path: string;
  readonly format: CaptureFormat;
  readonly rotation?: Rotation;
  /** Current counts, read at the end of each file. */
  statistics(): readonly InterfaceStatistics[];
  /** Milliseconds since 1970-01-01 UTC. */
  now?(): number;
}

/**
 * Writes a capture to one file, or to rotated files. A file is called `<name>.part` until it is complete, so a file with
 * its final name can always be read to the end. Rotated files are named as by dumpcap:
 * `<stem>_00001_20261124093000.pcapng`, the number and the UTC time of the start.
 */
export class FileSink implements CaptureSink {
  written = 0;
  readonly #options: FileSinkOptions;
  readonly #queue = new ByteQueue();
  readonly #finished: { readonly path: string; readonly packets: number }[] = [];
  readonly #now: () => number;
  #file: FileHandle | undefined;
  /** Final name of the open file. */
  #path = '';
  #number = 0;
  #openedAt = 0;
  /** Bytes of whole packets in the open file. */
  #size = 0;
  /** Packets in the queue. */
  #waiting = 0;
  #packetsInFile = 0;
  #writtenToFile = 0;

  private constructor(options: FileSinkOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
  }

  /** Opens the first file. Throws RipstopError. */
  static async open(options: FileSinkOptions): Promise<FileSink> {
    const sink = new FileSink(options);
    await sink.#refuseDirectory();
    await sink.#begin();
    return sink;
  }

  /** The rename at the end would fail, and the capture would have been for nothing. */
  async #refuseDirectory(): Promise<void> {
    const { path } = this.#options;
    const present = await stat(path).catch(() => undefined);
    if (!present?.isDirectory() || this.#isRotated) return;
    throw failure(path, Object.assign(new Error('EISDIR'), { code: 'EISDIR' }), 'give the name of a file');
  }

  get #isRotated(): boolean {
    const { rotation } = this.#options;
    return rotation?.bytes !== undefined || rotation?.seconds !== undefined;
  }

  async packet(packet: Packet): Promise<void> {
    const { rotation, format } = this.#options;
    const before = this.#queue.length;
    format.packet(this.#queue, packet);
    const grown = this.#size + this.#queue.length;
    const tooBig = rotation?.bytes !== undefined && grown > rotation.bytes;
    const tooOld = rotation?.seconds !== undefined && this.#now() - this.#openedAt >= rotation.seconds * 1000;
    // A packet larger than the limit gets a file of its own.
    if ((tooBig || tooOld) && this.#packetsInFile > 0) {
      this.#queue.length = before;
      await this.#rotate();
      format.packet(this.#queue, packet);
    }
    this.#waiting++;
    this.#packetsInFile++;
    if (this.#queue.length >= FLUSH_BYTES) await this.flush();
  }

  async flush(): Promise<void> {
    const file = this.#file;
    if (!file || this.#queue.length === 0) return;
    const bytes = this.#queue.take();
    const packets = this.#waiting;
    this.#waiting = 0;
    try {
      for (let at = 0; at < bytes.length; ) {
        const { bytesWritten } = await file.write(bytes, at, bytes.length - at, this.#size + at);
        at += bytesWritten;
      }
    } catch (error) {
      await this.#abandon(file, error);
    }
    this.#size += bytes.length;
    this.written += packets;
    this.#writtenToFile += packets;
  }

  async close(): Promise<void> {
    if (!this.#file) return;
    this.#options.format.end(this.#queue, this.#options.statistics());
    await this.flush();
    await this.#finish();
  }

  async #rotate(): Promise<void> {
    await this.close();
    const { files } = this.#options.rotation ?? {};
    // The next file counts, too.
    while (files !== undefined && this.#finished.length >= files) {
      const oldest = this.#finished.shift();
      if (oldest !== undefined) await remove(oldest.path);
    }
    await this.#begin();
  }

  async #begin(): Promise<void> {
    this.#openedAt = this.#now();
    this.#number++;
    this.#path = this.#nextPath();
    this.#size = 0;
    this.#packetsInFile = 0;
    this.#writtenToFile = 0;
    try {
      this.#file = await open(`${this.#path}.part`, 'w', 0o600);
    } catch (error) {
      throw failure(this.#path, error, 'give a writable path');
    }
    this.#options.format.begin(this.#queue);
    await this.flush();
  }

  #nextPath(): string {
    const { path } = this.#options;
    if (!this.#isRotated) return path;
    const suffix = extname(path);
    const time = new Date(this.#openedAt).toISOString().slice(0, 19).replace(/[-:T]/g, '');
    const number = String(this.#number).padStart(5, '0');
    return join(dirname(path), `${basename(path, suffix)}_${number}_${time}${suffix}`);
  }

  /** Renames the complete file to its final name. */
  async #finish(): Promise<void> {
    const file = this.#file;
    if (!file) return;
    this.#file = undefined;
    try {
      await file.sync();
      await file.close();
      await rename(`${this.#path}.part`, this.#path);
    } catch (error) {
      throw failure(this.#path, error, `the packets are in ${this.#path}.part`);
    }
    this.#finished.push({ path: this.#path, packets: this.#writtenToFile });
  }

  /**
   * Truncates the file after its last whole packet, completes it, and throws the error that ends the capture. A file without
   * packets is removed.
   */
  async #abandon(file: FileHandle, error: unknown): Promise<never> {
    const path = this.#path;
    const before = [...this.#finished];
    const here = this.#writtenToFile;
    if (here > 0) {
      await file.truncate(this.#size);
      await this.#finish();
    } else {
      this.#file = undefined;
      await file.close();
      await remove(`${path}.part`);
    }
    const earlier = before.reduce((sum, { packets }) => sum + packets, 0);
    const places = [
      ...(here > 0 ? [`${here} packets are kept in ${path}`] : []),
      ...(earlier > 0
        ? [`${earlier} packets are kept in ${before.length} files up to ${before.at(-1)?.path}`]
        : []),
    ];
    throw failure(path, error, places.join(' and ') || 'nothing was captured');
  }
}

const MEANINGS: Readonly<Partial<Record<ErrorCode, string>>> = {
  ENOSPC: 'the disk is full',
  EDQUOT: 'the quota of the disk is used up',
  EFBIG: 'the file cannot grow any further',
  ENOENT: 'the directory does not exist',
  EACCES: 'no permission to write there',
  EROFS: 'the file system is read-only',
  EISDIR: 'this is a directory',
};

function failure(path: string, error: unknown, hint: string): RipstopError {
  const code = codeOf(error, 'EIO');
  return new RipstopError(code, `${path}: ${MEANINGS[code] ?? messageOf(error)}`, hint, { cause: error });
}

async function remove(path: string): Promise<void> {
  try {
    await unlink(path);
  } catch (error) {
    if (!hasCode(error, 'ENOENT'))
      throw failure(path, error, 'the oldest file of the capture could not be removed');
  }
}
