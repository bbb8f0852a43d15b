import { setTimeout as sleep } from 'node:timers/promises';
import { describeError } from '../../base/errors.ts';
import { PacketDecoder } from '../../capture/decode/packet-decoder.ts';
import { createFilter } from '../../capture/filter/filter.ts';
import { resolveSelection, type Selection } from '../../capture/filter/selection.ts';
import { GrowingQueue } from '../../capture/format/byte-queue.ts';
import type { CaptureHub } from '../../capture/live/capture-hub.ts';
import type { CaptureContext } from '../../capture/live/context.ts';
import { readRecordStream } from '../../capture/live/record-stream.ts';
import { CaptureCounts, type CaptureRun, runCapture } from '../../capture/run.ts';
import { captureFormat } from '../../capture/sink/open-sink.ts';
import type { CaptureEnding, CaptureRequest, CaptureView } from './messages.ts';
import { PacketBuffer } from './packet-buffer.ts';

/** A capture that nobody looks at any more ends after this time; a browser looks once a minute from a tab behind others. */
const ATTENDED_MS = 150_000;
/**
 * Between two batches the thread does its other work for so long. It is the control thread, so a flood may not hold it;
 * what the rings cannot take meanwhile is counted as lost.
 */
const PAUSE_MS = 5;
/** Packets of one answer. */
const ANSWER_MAX = 500;

/** A capture of the web UI: it runs in this process and keeps its packets in memory. */
export class BufferedCapture {
  readonly #id: number;
  readonly #request: CaptureRequest;
  readonly #context: CaptureContext;
  readonly #decoder: PacketDecoder;
  readonly #counts: CaptureCounts;
  readonly #kept: PacketBuffer;
  readonly #stop: AbortController;
  readonly #watchdog: NodeJS.Timeout;
  #seen = performance.now();
  #why: CaptureEnding = 'stopped';
  #ending: CaptureEnding | null = null;
  #fault: string | null = null;

  /** @throws RipstopError EINUSE, ECAPTURE, EFILTER */
  static async start(id: number, request: CaptureRequest, hub: CaptureHub): Promise<BufferedCapture> {
    const stop = new AbortController();
    try {
      const selection = selectionOf(request);
      const stream = await readRecordStream(paced(await hub.start(selection, stop.signal)));
      const { context } = stream;
      const { points } = resolveSelection(selection, context);
      const named = request.filter === '' ? {} : { filter: request.filter };
      const decoder = new PacketDecoder(context, {
        points,
        snapLength: request.snapLength,
        segments: false,
        ...named,
      });
      const inner = request.filter === '' ? {} : { inner: request.filter };
      const filter = await createFilter(inner, context, decoder);
      const capture = new BufferedCapture(id, request, context, decoder, stop);
      capture.#run({ batches: stream.batches(), filter });
      return capture;
    } catch (error) {
      stop.abort();
      throw error;
    }
  }

  private constructor(
    id: number,
    request: CaptureRequest,
    context: CaptureContext,
    decoder: PacketDecoder,
    stop: AbortController,
  ) {
    this.#id = id;
    this.#request = request;
    this.#context = context;
    this.#decoder = decoder;
    this.#stop = stop;
    this.#counts = new CaptureCounts(decoder.interfaces.length);
    this.#kept = new PacketBuffer(decoder.interfaces, context, () => this.stop('memory'));
    this.#watchdog = setInterval(() => {
      if (performance.now() - this.#seen > ATTENDED_MS) this.stop('unattended');
    }, 1000);
    this.#watchdog.unref();
  }

  get isRunning(): boolean {
    return this.#ending === null;
  }

  stop(why: CaptureEnding = 'stopped'): void {
    if (this.#stop.signal.aborted) return;
    this.#why = why;
    this.#stop.abort();
  }

  /** @param after packets that the asker has already */
  view(after: number): CaptureView {
    this.#seen = performance.now();
    const { mode, port } = this.#context;
    return {
      id: this.#id,
      running: this.isRunning,
      request: this.#request,
      ending: this.#ending,
      fault: this.#fault,
      delivered: this.#kept.written,
      lost: this.#counts.totals.dropped,
      overlay: { mode, port },
      packets: this.#kept.views(after, ANSWER_MAX),
    };
  }

  /** What was captured so far as a pcapng file. */
  file(version: string): Uint8Array {
    const format = captureFormat('pcapng', this.#decoder.interfaces, this.#context, version);
    const queue = new GrowingQueue();
    format.begin(queue);
    for (const packet of this.#kept.all) format.packet(queue, packet);
    format.end(queue, this.#counts.statistics());
    return queue.take();
  }

  #run(source: Pick<CaptureRun, 'batches' | 'filter'>): void {
    const run: CaptureRun = {
      ...source,
      decoder: this.#decoder,
      counts: this.#counts,
      sink: this.#kept,
      packets: this.#request.packets,
      stop: this.#stop.signal,
    };
    void runCapture(run)
      .then(
        end => {
          this.#ending = end === 'stopped' ? this.#why : end === 'count' ? 'count' : 'source';
        },
        error => {
          this.#ending = 'source';
          this.#fault = describeError(error);
        },
      )
      .finally(() => {
        clearInterval(this.#watchdog);
        // Lets the hub go when the capture ended by itself.
        this.#stop.abort();
      });
  }
}

function selectionOf({ points, verdicts, peer, snapLength }: CaptureRequest): Selection {
  return {
    snapLength,
    ...(points.length > 0 ? { points } : {}),
    ...(verdicts.length > 0 ? { verdicts } : {}),
    ...(peer !== '' ? { peer } : {}),
  };
}

async function* paced(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  for await (const chunk of chunks) {
    yield chunk;
    await sleep(PAUSE_MS);
  }
}
