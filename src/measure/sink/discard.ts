import type { Socket } from 'node:net';
import type { Discarded } from '../control/messages.ts';

/** Reads a TCP transfer to its end and counts its bytes. */
export function discard(socket: Socket): Promise<Discarded> {
  let bytes = 0;
  let first = Number.NaN;
  let last = 0;
  return new Promise(done => {
    socket.on('data', (chunk: Buffer) => {
      last = performance.now();
      if (Number.isNaN(first)) first = last;
      bytes += chunk.length;
    });
    const end = () => done({ kind: 'discarded', bytes, milliseconds: bytes > 0 ? last - first : 0 });
    socket.once('end', end);
    socket.once('close', end);
  });
}
