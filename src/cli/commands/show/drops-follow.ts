import { getJson, openCaptureStream } from '../../../api/client.ts';
import { printable } from '../../../base/text/printable.ts';
import { DropLines, dropRow } from '../../../capture/decode/drop-rows.ts';
import { PacketDecoder } from '../../../capture/decode/packet-decoder.ts';
import { type RecordStream, readRecordStream } from '../../../capture/live/record-stream.ts';
import { OutputStream } from '../../../capture/sink/output-stream.ts';
import { DROP } from '../../../dataplane/tap/record-layout.ts';
import { type Output, rowText } from '../../json/print.ts';
import { stopOnSignal } from '../../terminal/stop.ts';

/** Bytes that hold all headers of a VXLAN datagram and of its inner frame. */
const SNAP_LENGTH = 256;

/**
 * `ripstop drops --follow`: prints each dropped frame of every overlay and explains each reason once. Ends on SIGINT or
 * SIGTERM.
 */
export async function followDrops(socket: string, output: Output | undefined): Promise<void> {
  const stop = stopOnSignal();
  const targets = await getJson(socket, '/captures');
  const selection = { snapLength: SNAP_LENGTH, points: ['drop'] };
  // Without a target the request fails, and the agent's error says why there is none.
  const requests = targets.length > 0 ? targets.map(({ device }) => ({ ...selection, device })) : [selection];
  const streams = await Promise.all(
    requests.map(async request => readRecordStream(await openCaptureStream(socket, request, stop.signal))),
  );
  process.stderr.write('ripstop drops: following\n');
  const out = new OutputStream(process.stdout);
  const shown = new DropLines();
  let lost = 0;
  const follow = async ({ context, pods, batches }: RecordStream): Promise<void> => {
    const decoder = new PacketDecoder(context, {
      points: DROP,
      snapLength: SNAP_LENGTH,
      segments: false,
      pods,
    });
    for await (const records of batches())
      for (const record of records) {
        lost += record.lost.dropped;
        if (record.points === 0) continue;
        const row = dropRow(record, context, decoder);
        if (output) await out.write(await rowText(output, 'ripstop-drop/1', row));
        else for (const line of shown.lines(row)) await out.write(`${printable(line)}\n`);
      }
  };
  try {
    await Promise.all(streams.map(follow));
    for (const line of shown.rest()) await out.write(`${printable(line)}\n`);
  } catch (error) {
    // An aborted stream may end inside a message.
    if (!stop.signal.aborted) throw error;
  }
  if (lost > 0)
    process.stderr.write(`ripstop drops: ${lost} drops are not shown because the reader was too slow\n`);
}
