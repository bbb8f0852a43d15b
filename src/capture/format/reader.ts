import { RipstopError } from '../../base/errors.ts';
import type { CaptureInterface, Packet } from './packet.ts';

/** Reads a capture file of any format. */
export interface CaptureReader {
  /** Interfaces read so far, of all sections; a packet's `interface` is an index into them. */
  readonly interfaces: readonly CaptureInterface[];
  /** Number of the section of each interface. */
  readonly sections: readonly number[];
  /**
   * The packets in file order. A broken file yields every whole packet before the fault and then throws RipstopError
   * ECAPTURE with the byte offset.
   */
  packets(): AsyncGenerator<Packet, void, void>;
}

/** Throws the error of a broken file. @param offset first byte of the broken item */
export function broken(name: string, offset: number, problem: string, hint?: string): never {
  throw new RipstopError('ECAPTURE', `${name}: at byte ${offset}: ${problem}`, hint);
}
