import { isIP } from 'node:net';
import { openCaptureStream } from '../../../api/capture-client.ts';
import { Journeys } from '../../../capture/correlate/correlator.ts';
import { Sightings } from '../../../capture/correlate/observation.ts';
import { JourneyLines, journeyNote } from '../../../capture/correlate/rows.ts';
import type { FlowEnds } from '../../../capture/flows/flow-filter.ts';
import { readRecordStream } from '../../../capture/live/record-stream.ts';
import { OutputStream, READER_GONE } from '../../../capture/sink/output-stream.ts';
import { requestOf, type TraceOptions } from './trace-run.ts';

/** Of TCP the headers say which packet it is; of anything else the payload does. */
const TCP_SNAP_LENGTH = 256;
/** Lines about packets in a second; the others are counted. */
const JOURNEYS_A_SECOND = 20;
const SWEEP_MS = 250;

/**
 * `ripstop trace --live`: real packets of the 5-tuple, each as it passes this node and, with its socket, the other one.
 * Ends on SIGINT, SIGTERM, or after the count. @throws RipstopError
 */
export async function traceLive(options: TraceOptions): Promise<void> {
  const wanted = matcher(options);
  const sockets = [options.socket, ...(options.peerSocket === undefined ? [] : [options.peerSocket])];
  const stop = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort());
  const family = isIP(options.src);
  const selection = { snapLength: options.proto === 'tcp' ? TCP_SNAP_LENGTH : 0, family };
  const streams = await Promise.all(
    sockets.map(async socket => readRecordStream(await openCaptureStream(socket, selection, stop.signal))),
  );
  const contexts = streams.map(stream => stream.context);
  const sightings = contexts.map(context => new Sightings(context, wanted));
  const journeys = new Journeys(
    streams.length,
    contexts[0]!.verdicts.map(verdict => verdict.drop),
  );
  const report = new Report(options, contexts, stop);
  process.stderr.write(
    `ripstop trace: following at ${contexts.map(({ addresses }) => addresses[0]).join(' and ')}\n`,
  );
  let lost = 0;
  const follow = async (node: number): Promise<void> => {
    for await (const records of streams[node]!.batches())
      for (const record of records) {
        lost += record.lost;
        for (const sighting of sightings[node]!.of(record)) {
          const journey = journeys.see(node, sighting, performance.now());
          if (journey) await report.show(journey);
        }
        if (stop.signal.aborted) return;
      }
  };
  const sweep = setInterval(() => {
    for (const journey of journeys.overdue(performance.now()))
      void report.show(journey).catch(() => stop.abort());
  }, SWEEP_MS);
  try {
    await Promise.all(streams.map((_, node) => follow(node)));
  } catch (error) {
    // A stream that was stopped may end inside a message.
    if (!stop.signal.aborted && (error as NodeJS.ErrnoException).code !== READER_GONE) throw error;
  } finally {
    clearInterval(sweep);
    stop.abort();
  }
  process.stderr.write(
    `ripstop trace: ${report.summary()}${lost > 0 ? `; ${lost} records lost: not all was seen` : ''}\n`,
  );
}

/** Says of a flow whether it is the one; what was not given matches all. */
function matcher(options: TraceOptions): (flow: FlowEnds) => boolean {
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

/** Tells journeys as they end. */
class Report {
  readonly #out = new OutputStream(process.stdout);
  readonly #lines = new JourneyLines();
  readonly #options: TraceOptions;
  readonly #contexts: Parameters<typeof journeyNote>[1];
  readonly #stop: AbortController;
  readonly #fates = new Map<string, number>();
  #told = 0;
  #second = 0;
  #inSecond = 0;

  constructor(options: TraceOptions, contexts: Parameters<typeof journeyNote>[1], stop: AbortController) {
    this.#options = options;
    this.#contexts = contexts;
    this.#stop = stop;
  }

  async show(journey: Parameters<typeof journeyNote>[0]): Promise<void> {
    const { count, json } = this.#options;
    if (count !== undefined && this.#told >= count) return;
    this.#told++;
    this.#fates.set(journey.fate, (this.#fates.get(journey.fate) ?? 0) + 1);
    if (count !== undefined && this.#told >= count) this.#stop.abort();
    const note = journeyNote(journey, this.#contexts);
    const lines = json ? [JSON.stringify(note)] : this.#isFlood() ? [] : this.#lines.lines(note);
    for (const line of lines) await this.#out.write(`${line}\n`);
  }

  summary(): string {
    const counts = [...this.#fates].map(([fate, count]) => `${count} ${fate}`);
    return `${this.#told} packets${counts.length > 0 ? `: ${counts.join(', ')}` : ''}`;
  }

  #isFlood(): boolean {
    const second = Math.floor(performance.now() / 1000);
    if (second !== this.#second) this.#inSecond = 0;
    this.#second = second;
    return this.#inSecond++ >= JOURNEYS_A_SECOND;
  }
}
