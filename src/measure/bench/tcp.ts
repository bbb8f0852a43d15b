import { readFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { SinkClient } from '../control/client.ts';
import type { Target } from '../send/target.ts';

/** Bytes per write: enough for the kernel to fill its largest segments. */
const CHUNK = new Uint8Array(256 * 1024);

export interface Transfer {
  readonly bitsPerSecond: number;
  /** Share of the segments that were not sent again, 0 to 1; of the whole namespace while it ran. NaN: not known. */
  readonly efficiency: number;
}

/** Bytes of the headers of a TCP segment with a timestamp option (RFC 7323). */
const TCP_BYTES = { 4: 20 + 20 + 12, 6: 40 + 20 + 12 } as const;

/** Payload rate that TCP reaches where IP packets of `bytes` pass at `bitsPerSecond` (RFC 6349 section 3.3). */
export function tcpLimit(bitsPerSecond: number, bytes: number, family: 4 | 6): number {
  return bitsPerSecond * Math.max(0, 1 - TCP_BYTES[family] / bytes);
}

/** Sends as much as one TCP connection takes to the sink, which discards it. */
export async function transfer(
  to: Target,
  source: string | undefined,
  durationMs: number,
  signal: AbortSignal,
): Promise<Transfer> {
  const client = await SinkClient.connect(to, source);
  try {
    const { socket, discarded } = await client.discard();
    const before = segments();
    const end = performance.now() + durationMs;
    while (performance.now() < end && !signal.aborted && !socket.destroyed)
      if (!socket.write(CHUNK)) await drained(socket, end - performance.now());
    socket.end();
    const { bytes, milliseconds } = await discarded();
    const after = segments();
    const out = after.out - before.out;
    return {
      bitsPerSecond: milliseconds > 0 ? (bytes * 8000) / milliseconds : 0,
      efficiency: out > 0 ? Math.max(0, 1 - (after.again - before.again) / out) : Number.NaN,
    };
  } finally {
    client.close();
  }
}

/** Resolves when the socket takes more, is closed, or the time is over. */
function drained(socket: Socket, timeoutMs: number): Promise<void> {
  return new Promise(done => {
    const end = () => {
      clearTimeout(timer);
      socket.off('drain', end);
      socket.off('close', end);
      done();
    };
    const timer = setTimeout(end, Math.max(1, timeoutMs));
    socket.once('drain', end);
    socket.once('close', end);
  });
}

/** Segments that this namespace sent, and those of them that it sent again (RFC 4022: tcpOutSegs, tcpRetransSegs). */
function segments(): { out: number; again: number } {
  const [names = '', values = ''] = readFileSync('/proc/self/net/snmp', 'utf8')
    .split('\n')
    .filter(line => line.startsWith('Tcp:'));
  const at = (name: string) => Number(values.split(' ')[names.split(' ').indexOf(name)]);
  return { out: at('OutSegs') + at('RetransSegs'), again: at('RetransSegs') };
}
