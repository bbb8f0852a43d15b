import { getJson, openCaptureStream } from '../../../api/client.ts';
import type { RecorderStatus } from '../../../api/recorder/state.ts';
import { RipstopError } from '../../../base/errors.ts';
import { printable } from '../../../base/text/printable.ts';
import { dropLine, dropRow, type LastDrop } from '../../../capture/decode/drop-rows.ts';
import { PacketDecoder } from '../../../capture/decode/packet-decoder.ts';
import { type RecordStream, readRecordStream } from '../../../capture/live/record-stream.ts';
import { CaptureCounts, runCapture } from '../../../capture/run.ts';
import { captureFormat, openSink } from '../../../capture/sink/open-sink.ts';
import { TimeOrder } from '../../../capture/time-order.ts';
import { KEPT_SNAP } from '../../../dataplane/tap/kept-record.ts';
import { DROP } from '../../../dataplane/tap/record-layout.ts';
import { type Output, objectText } from '../../json/print.ts';
import type { LastDropsOptions } from './last-drops-options.ts';

const DECODER = { points: DROP, snapLength: KEPT_SNAP, segments: false };

/** `ripstop drops --last`: prints or writes the last lost frames of the flight recorder. @throws RipstopError */
export async function showLastDrops(
  socket: string,
  { count, write, device }: LastDropsOptions,
  output: Output | undefined,
): Promise<void> {
  const { overlays } = await getJson(socket, '/recorder');
  const devices = overlays
    .map(overlay => overlay.device)
    .filter(name => device === undefined || name === device);
  // Without a recorder the request fails, and the agent's error says why there is none.
  const wanted: (string | undefined)[] = devices.length > 0 ? devices : [device];
  if (write !== undefined && wanted.length > 1)
    throw new RipstopError(
      'ECONFIG',
      `the node has the devices ${devices.join(', ')}`,
      'choose one with --device',
    );
  const streams = await Promise.all(
    wanted.map(async name => ({ device: name ?? '', stream: await openLast(socket, count, name) })),
  );
  const [first] = streams;
  if (write !== undefined && first) return writeFile(first.stream, write);
  const rows = (await Promise.all(streams.map(rowsOf))).flat();
  const drops = rows.sort((a, b) => (a.time < b.time ? -1 : 1)).slice(-count);
  const shown = overlays.filter(overlay => wanted.includes(overlay.device));
  process.stdout.write(
    output
      ? await objectText(output, 'ripstop-last-drops/1', { overlays: shown, drops })
      : textOf(shown, drops),
  );
}

async function openLast(socket: string, lostFrames: number, device?: string): Promise<RecordStream> {
  const request = {
    snapLength: 0,
    points: ['drop'],
    lostFrames,
    ...(device === undefined ? {} : { device }),
  };
  return readRecordStream(await openCaptureStream(socket, request, new AbortController().signal));
}

async function rowsOf({ device, stream }: { device: string; stream: RecordStream }): Promise<LastDrop[]> {
  const { context, pods, batches } = stream;
  const decoder = new PacketDecoder(context, { ...DECODER, pods });
  const rows: LastDrop[] = [];
  for await (const records of batches())
    for (const record of records)
      rows.push({ device, ...dropRow(record, context, decoder), skipped: record.lost.dropped });
  return rows;
}

async function writeFile({ context, pods, batches }: RecordStream, path: string): Promise<void> {
  const decoder = new PacketDecoder(context, { ...DECODER, pods });
  const counts = new CaptureCounts(decoder.interfaces.length);
  const format = captureFormat('pcapng', decoder.interfaces, context, 'flight recorder');
  const sink = await openSink({ path, format, rotation: {}, statistics: () => counts.statistics() });
  await runCapture({
    ...{ batches: batches(), decoder, counts, sink, order: new TimeOrder() },
    filter: () => true,
    stop: new AbortController().signal,
  });
  const { delivered, dropped } = counts.totals;
  process.stderr.write(
    `ripstop drops: ${delivered} lost frames written, ${dropped} between them not recorded\n`,
  );
}

function textOf(
  overlays: readonly { readonly device: string; readonly recorder: RecorderStatus }[],
  drops: readonly LastDrop[],
): string {
  const lines = drops.map(drop =>
    dropLine(drop, drop.skipped > 0 ? [`${drop.skipped} before it not recorded`] : []),
  );
  const remedies = new Map(drops.map(({ reason, meaning, remedy }) => [reason, `${meaning}; ${remedy}`]));
  const advice = [...remedies].map(([reason, text]) => `${reason}: ${text}`);
  const state = overlays.flatMap(({ device, recorder: { since, losses } }) => [
    `${device}: recorded since ${since}; frames that the kernel dropped have no headers`,
    ...losses
      .filter(({ lost, recorded }) => recorded < lost)
      .map(
        ({ reason, lost, recorded, every }) =>
          `${device}: ${reason}: ${recorded} of ${lost} lost frames recorded, at present every ${ordinal(every)}`,
      ),
  ]);
  const parts = [lines.length > 0 ? lines : ['no lost frames recorded'], advice, state];
  return parts
    .filter(part => part.length > 0)
    .map(part => `${part.map(printable).join('\n')}\n`)
    .join('\n');
}

function ordinal(every: number): string {
  return every === 1 ? 'one' : `${every}th`;
}
