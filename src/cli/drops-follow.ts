import { openCaptureStream } from '../agent/capture-client.ts';
import { DropLines, dropNote } from '../capture/drop-lines.ts';
import { OutputStream, READER_GONE } from '../capture/output-stream.ts';
import { DROP } from '../capture/point.ts';
import { Presenter } from '../capture/presenter.ts';
import { readRecordStream } from '../capture/record-stream.ts';

/** Enough for every header of a frame, and of the VXLAN datagram around it. */
const SNAP_LENGTH = 256;

/** `ripstop drops --follow`: each lost frame as it happens, its reason explained once. Ends on SIGINT or SIGTERM. */
export async function followDrops(socket: string, json: boolean): Promise<void> {
  const stop = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort());
  const selection = { snapLength: SNAP_LENGTH, points: ['drop'] };
  const stream = await readRecordStream(await openCaptureStream(socket, selection, stop.signal));
  process.stderr.write('ripstop drops: following\n');
  const presenter = new Presenter(stream.context, { points: DROP, snapLength: SNAP_LENGTH, segments: false });
  const out = new OutputStream(process.stdout);
  const shown = new DropLines();
  try {
    for await (const records of stream.batches())
      for (const record of records) {
        const note = dropNote(record, stream.context, presenter);
        const lines = json ? [JSON.stringify(note)] : shown.lines(note);
        for (const line of lines) await out.write(`${line}\n`);
      }
    for (const line of shown.rest()) await out.write(`${line}\n`);
  } catch (error) {
    // A stream that was stopped may end inside a message.
    if (!stop.signal.aborted && (error as NodeJS.ErrnoException).code !== READER_GONE) throw error;
    stop.abort();
  }
}
