import { GrowingQueue } from '../../../src/capture/byte-queue.ts';
import { readCapture } from '../../../src/capture/open.ts';
import type { CaptureFormat, InterfaceStatistics, Packet } from '../../../src/capture/packet.ts';

/** A whole capture file in memory. */
export function written(
  format: CaptureFormat,
  packets: readonly Packet[],
  statistics: readonly InterfaceStatistics[] = [],
): Uint8Array {
  const out = new GrowingQueue(64);
  format.begin(out);
  for (const packet of packets) format.packet(out, packet);
  format.end(out, statistics);
  return out.take();
}

/** The bytes in chunks of `size`. */
export async function* chunked(bytes: Uint8Array, size = bytes.length || 1) {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

/** Everything that a reader says about a file, and the error that ended it, if one did. */
export async function readAll(bytes: Uint8Array, size?: number) {
  const packets: Packet[] = [];
  let reader: Awaited<ReturnType<typeof readCapture>> | undefined;
  let error: Error | undefined;
  try {
    reader = await readCapture(chunked(bytes, size), 'test');
    for await (const packet of reader.packets()) packets.push(packet);
  } catch (thrown) {
    error = thrown as Error;
  }
  return { reader, packets, error };
}
