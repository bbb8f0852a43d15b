import { isIP } from 'node:net';
import { openCaptureStream } from '../../../api/client.ts';
import { elementAt } from '../../../base/at.ts';
import { Correlator, type PacketPath } from '../../../capture/correlate/correlator.ts';
import { ObservationReader } from '../../../capture/correlate/observation.ts';
import { PathLines, pathRow } from '../../../capture/correlate/rows.ts';
import type { FiveTuple } from '../../../capture/flows/flow-filter.ts';
import { type RecordStream, readRecordStream } from '../../../capture/live/record-stream.ts';
import { OutputStream } from '../../../capture/sink/output-stream.ts';
import { rowText } from '../../json/print.ts';
import { namesPods, podsAt, resolveEnds } from '../../pods.ts';
import { stopOnSignal } from '../../terminal/stop.ts';
import { requestOf, type TraceOptions } from './trace-run.ts';

/** Bytes that hold the headers, which identify a TCP segment. Other packets need their payload. */
const TCP_SNAP_LENGTH = 256;
/** Maximum number of packets that are printed per second; further packets are only counted. */
const PATHS_PER_SECOND = 20;
const SWEEP_MS = 250;

/**
 * `ripstop trace --live`: prints the real packets of the 5-tuple as they pass this node and, if its socket is given, the
 * other one. Ends on SIGINT, SIGTERM, or after the count. @throws RipstopError
 */
export async function traceLive(given: TraceOptions): Promise<void> {
  const sockets = [given.socket, ...(given.peerSocket === undefined ? [] : [given.peerSocket])];
  const namedPods = await Promise.all(namesPods(given) ? sockets.map(socket => podsAt(socket, true)) : []);
  const options = resolveEnds(given, namedPods.flat());
  const wanted = matcher(options);
  const stop = stopOnSignal();
  const family = isIP(options.src);
  const selection = { snapLength: options.proto === 'tcp' ? TCP_SNAP_LENGTH : 0, family };
  const streams = await Promise.all(
    sockets.map(async socket => readRecordStream(await openCaptureStream(socket, selection, stop.signal))),
  );
  const contexts = streams.map(stream => stream.context);
  const readers = contexts.map(context => new ObservationReader(context, wanted));
  const correlator = new Correlator(
    streams.length,
    elementAt(contexts, 0).verdicts.map(verdict => verdict.drop),
  );
  const report = createReport(options, streams, stop);
  process.stderr.write(
    `ripstop trace: following at ${contexts.map(({ addresses }) => addresses[0]).join(' and ')}\n`,
  );
  let lost = 0;
  const follow = async (node: number): Promise<void> => {
    for await (const records of elementAt(streams, node).batches())
      for (const record of records) {
        lost += record.lost.all;
        for (const observation of elementAt(readers, node).read(record)) {
          const path = correlator.add(node, observation, performance.now());
          if (path) await report.show(path);
        }
        if (stop.signal.aborted) return;
      }
  };
  const sweep = setInterval(() => {
    for (const path of correlator.expire(performance.now())) void report.show(path).catch(() => stop.abort());
  }, SWEEP_MS);
  try {
    await Promise.all(streams.map((_, node) => follow(node)));
  } catch (error) {
    // An aborted stream may end inside a message.
    if (!stop.signal.aborted) throw error;
  } finally {
    clearInterval(sweep);
    stop.abort();
    process.stderr.write(
      `ripstop trace: ${report.summary()}${lost > 0 ? `; ${lost} packets were not captured because the reader was too slow` : ''}\n`,
    );
  }
}

/** True for flows that match the options; an absent option matches all. */
function matcher(options: TraceOptions): (flow: FiveTuple) => boolean {
  const { source, destination } = requestOf(options);
  const { proto, sport, dport } = options;
  const isIcmp = (protocol: string) => protocol === 'icmp' || protocol === 'icmp6';
  return flow =>
    flow.source === source &&
    flow.destination === destination &&
    (proto === undefined || flow.protocol === proto || (proto === 'icmp' && isIcmp(flow.protocol))) &&
    (sport === undefined || flow.sourcePort === sport) &&
    (dport === undefined || flow.destinationPort === dport);
}

/** Prints paths as they complete, and aborts `stop` after the requested count. */
function createReport(
  { count, output }: TraceOptions,
  streams: readonly RecordStream[],
  stop: AbortController,
) {
  const contexts = streams.map(stream => stream.context);
  const pods = streams.map(stream => stream.pods);
  const out = new OutputStream(process.stdout);
  const formatter = new PathLines();
  const fates = new Map<string, number>();
  let shown = 0;
  let second = 0;
  let inSecond = 0;
  const isFlood = () => {
    const now = Math.floor(performance.now() / 1000);
    if (now !== second) inSecond = 0;
    second = now;
    return inSecond++ >= PATHS_PER_SECOND;
  };
  return {
    async show(path: PacketPath): Promise<void> {
      if (shown === count) return;
      if (++shown === count) stop.abort();
      fates.set(path.fate, (fates.get(path.fate) ?? 0) + 1);
      const row = pathRow(path, contexts, pods);
      if (output) await out.write(await rowText(output, 'ripstop-path/1', row));
      else if (!isFlood()) for (const line of formatter.lines(row)) await out.write(`${line}\n`);
    },
    summary(): string {
      const counts = [...fates].map(([fate, packets]) => `${packets} ${fate}`);
      return `${shown} packets${counts.length > 0 ? `: ${counts.join(', ')}` : ''}`;
    },
  };
}
