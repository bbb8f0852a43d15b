import { RipstopError } from '../../base/errors.ts';
import type { CaptureInterface, InterfaceStatistics, Packet } from './packet.ts';

/** A capture file being read, whatever its format. */
export interface CaptureReader {
  /** `pcap` or `pcapng`, as people name it, with what matters about it: byte order and unit of time. */
  readonly format: string;
  /** Interfaces met so far, of all sections; a packet's `interface` is an index into them. */
  readonly interfaces: readonly CaptureInterface[];
  /** Statistics met so far, by the same index. */
  readonly statistics: ReadonlyMap<number, InterfaceStatistics>;
  /** What the file says about itself: its writer, its comments. */
  readonly remarks: readonly string[];
  /**
   * The packets in file order. Ends at the end of the file; a broken file yields every whole packet before the
   * fault and then throws RipstopError ECAPTURE that names the place.
   */
  packets(): AsyncGenerator<Packet, void, void>;
}

/** Ends the reading of a file: `offset` is the byte where the broken item begins. */
export function broken(name: string, offset: number, problem: string, hint?: string): never {
  throw new RipstopError('ECAPTURE', `${name}: at byte ${offset}: ${problem}`, hint);
}
