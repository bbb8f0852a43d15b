import type { CaptureTargets } from '../../../api/capture.ts';
import { CAPTURES_PATH, getJson, openCaptureStream } from '../../../api/client.ts';
import { hasCode } from '../../../base/errors.ts';
import { DropLines, dropRow } from '../../../capture/decode/drop-rows.ts';
import { PacketDecoder } from '../../../capture/decode/packet-decoder.ts';
import { type RecordStream, readRecordStream } from '../../../capture/live/record-stream.ts';
import { BROKEN_PIPE, OutputStream } from '../../../capture/sink/output-stream.ts';
import { DROP } from '../../../dataplane/tap/record-layout.ts';
import { stopOnSignal } from '../../terminal/stop.ts';

/** Enough for every header of a frame, and of the VXLAN datagram around it. */
const SNAP_LENGTH = 256;

/**
 * `ripstop drops --follow`: each lost frame of any overlay as it happens, its reason explained once. Ends on SIGINT or
 * SIGTERM.
 */
export async function followDrops(socket: string, json: boolean): Promise<void> {
  const stop = stopOnSignal();
  const places = await getJson<CaptureTargets>(socket, CAPTURES_PATH);
  const selection = { snapLength: SNAP_LENGTH, points: ['drop'] };
  // Without a place the agent says why there is none.
  const wishes = places.length > 0 ? places.map(({ device }) => ({ ...selection, device })) : [selection];
  const streams = await Promise.all(
    wishes.map(async wish => readRecordStream(await openCaptureStream(socket, wish, stop.signal))),
  );
  process.stderr.write('ripstop drops: following\n');
  const out = new OutputStream(process.stdout);
  const shown = new DropLines();
  const follow = async ({ context, batches }: RecordStream): Promise<void> => {
    const decoder = new PacketDecoder(context, { points: DROP, snapLength: SNAP_LENGTH, segments: false });
    for await (const records of batches())
      for (const record of records) {
        const note = dropRow(record, context, decoder);
        const lines = json ? [JSON.stringify(note)] : shown.lines(note);
        for (const line of lines) await out.write(`${line}\n`);
      }
  };
  try {
    await Promise.all(streams.map(follow));
    for (const line of shown.rest()) await out.write(`${line}\n`);
  } catch (error) {
    // A stream that was stopped may end inside a message.
    if (!stop.signal.aborted && !hasCode(error, BROKEN_PIPE)) throw error;
    stop.abort();
  }
}
