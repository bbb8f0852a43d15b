import { setTimeout as sleep } from 'node:timers/promises';
import { describeError } from '../../base/errors.ts';
import { PacketDecoder } from '../../capture/decode/packet-decoder.ts';
import { createFilter } from '../../capture/filter/filter.ts';
import { filterByPods } from '../../capture/filter/pod-filter.ts';
import { resolveSelection, type Selection } from '../../capture/filter/selection.ts';
import { ByteQueue } from '../../capture/format/byte-queue.ts';
import type { CaptureHub } from '../../capture/live/capture-hub.ts';
import type { CaptureContext } from '../../capture/live/context.ts';
import type { CaptureRecord } from '../../capture/live/record.ts';
import { type PodSource, readRecordStream, withPods } from '../../capture/live/record-stream.ts';
import { CaptureCounts, type CaptureRun, runCapture } from '../../capture/run.ts';
import { captureFormat } from '../../capture/sink/open-sink.ts';
import { TimeOrder } from '../../capture/time-order.ts';
import type { CaptureEndReason, CaptureRequest, CaptureView } from './messages.ts';
import { PacketBuffer } from './packet-buffer.ts';

/** A capture ends if no browser asks for this time. A background tab asks once per minute. */
const IDLE_MS = 150_000;
/** Pause between two batches, so that a high packet rate does not block the control thread; records lost meanwhile are counted. */
const PAUSE_MS = 5;
/** Maximum number of packets in one answer. */
const ANSWER_MAX = 500;

/** A capture of the web UI: it runs in this process and keeps its packets in memory. */
export class BufferedCapture {
  readonly #id: number;
  readonly #request: CaptureRequest;
  readonly #context: CaptureContext;
  readonly #decoder: PacketDecoder;
  readonly #counts: CaptureCounts;
  readonly #packets: PacketBuffer;
  readonly #stop: AbortController;
  readonly #watchdog: NodeJS.Timeout;
  #lastRequest = performance.now();
  #why: CaptureEndReason = 'stopped';
  #ending: CaptureEndReason | null = null;
  #fault: string | null = null;

  /** @throws RipstopError EINUSE, ECAPTURE, EFILTER */
  static async start(
    id: number,
    request: CaptureRequest,
    hub: CaptureHub,
    pods: PodSource,
  ): Promise<BufferedCapture> {
    const stop = new AbortController();
    try {
      const selection = selectionOf(request);
      const stream = await readRecordStream(paced(withPods(await hub.start(selection, stop.signal), pods)));
      const { context } = stream;
      const { points } = resolveSelection(selection, context);
      const { snapLength } = request;
      const inner = filterByPods(request.filter, pods.all);
      const decoder = new PacketDecoder(context, {
        points,
        snapLength,
        segments: false,
        filter: inner,
        pods: stream.pods,
      });
      const filter = await createFilter({ inner }, context, decoder);
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
    this.#packets = new PacketBuffer(decoder.interfaces, context, () => this.stop('memory'));
    this.#watchdog = setInterval(() => {
      if (performance.now() - this.#lastRequest > IDLE_MS) this.stop('unattended');
    }, 1000);
    this.#watchdog.unref();
  }

  get isRunning(): boolean {
    return this.#ending === null;
  }

  stop(why: CaptureEndReason = 'stopped'): void {
    if (this.#stop.signal.aborted) return;
    this.#why = why;
    this.#stop.abort();
  }

  /** @param after number of packets that the browser already has */
  view(after: number): CaptureView {
    this.#lastRequest = performance.now();
    const { mode, port } = this.#context;
    return {
      id: this.#id,
      running: this.isRunning,
      ending: this.#ending,
      fault: this.#fault,
      delivered: this.#packets.written,
      lost: this.#counts.totals.dropped,
      overlay: { mode, port },
      packets: this.#packets.views(after, ANSWER_MAX),
    };
  }

  /** The packets so far as a pcapng file. */
  file(version: string): Uint8Array {
    const format = captureFormat('pcapng', this.#decoder.interfaces, this.#context, version);
    const queue = new ByteQueue();
    format.begin(queue);
    for (const packet of this.#packets.all) format.packet(queue, packet);
    format.end(queue, this.#counts.statistics());
    return queue.take();
  }

  #run(source: Pick<CaptureRun<CaptureRecord>, 'batches' | 'filter'>): void {
    const run: CaptureRun<CaptureRecord> = {
      ...source,
      decoder: this.#decoder,
      counts: this.#counts,
      sink: this.#packets,
      order: new TimeOrder(),
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
        // Frees the tap if the capture ended by itself.
        this.#stop.abort();
      });
  }
}

function selectionOf({ points, verdicts, peer, snapLength }: CaptureRequest): Selection {
  return {
    snapLength,
    points: points.length > 0 ? points : undefined,
    verdicts: verdicts.length > 0 ? verdicts : undefined,
    peer: peer || undefined,
  };
}

async function* paced(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  for await (const chunk of chunks) {
    yield chunk;
    await sleep(PAUSE_MS);
  }
}
