import { parentPort, workerData } from 'node:worker_threads';
import { FLAG_ASK, FLAG_PROBE, wrapped } from '../../../encap/wire/measure.ts';
import { STAT_CALLS, STAT_FALLBACKS } from '../../dataplane/descriptor/stats.ts';
import { native } from '../../native/load.ts';
import { Histogram } from '../figures/histogram.ts';
import { UdpSource } from '../receive/udp-source.ts';
import { AnswerReader } from './answer-reader.ts';
import { FrameSender } from './frame-sender.ts';
import { Pacer } from './pacer.ts';
import type { Sender } from './sender.ts';
import type { GeneratorOutcome, GeneratorTask, Order } from './task.ts';
import { UdpSender } from './udp-sender.ts';

/* The thread that sends, in batches, and reads the answers of the sink. */

/** One packet per so many ms asks for an answer. */
const ASK_MS = 1;
/** Longest wait for the answers that are still on their way, ms. */
const ANSWERS_MS = 1000;
/** Time between two probes, ms. */
const PROBE_MS = 4;
/** A shorter wait is spent in the loop: a thread that sleeps wakes up to so much later. */
const SLEEP_MIN_MS = 0.08;

type Run = Extract<Order, { kind: 'run' }>;

class Generator {
  readonly #task: GeneratorTask;
  readonly #sender: Sender;
  readonly #prober: UdpSender;
  readonly #answers: AnswerReader;
  readonly #sequences: Float64Array;
  #probes = 0;

  constructor(task: GeneratorTask) {
    this.#task = task;
    const { sockets, to, sizes, key, gso, flows, frames, originSeconds } = task;
    const bytesMax = sizes.reduce((max, size) => Math.max(max, size), 0);
    this.#sender = frames
      ? new FrameSender(frames.fd, frames.route, bytesMax, key, gso)
      : new UdpSender(sockets, to, bytesMax, key, gso);
    this.#prober = new UdpSender(sockets.slice(0, 1), to, bytesMax, key, false);
    this.#answers = new AnswerReader(new UdpSource(sockets[0] ?? -1, -1, to.family), key, originSeconds);
    this.#sequences = new Float64Array(flows);
  }

  /** Nanoseconds since the origin, as the header holds them. */
  #now(): number {
    return wrapped(Math.round((native.wallClock() - this.#task.originSeconds * 1000) * 1e6));
  }

  get #isStopped(): boolean {
    return Atomics.load(this.#task.stop, 0) !== 0;
  }

  probe(probes: number): GeneratorOutcome {
    this.#answers.roundTrips = new Histogram();
    this.#answers.takeOffset();
    const [size = 0] = this.#task.sizes;
    let sent = 0;
    for (; sent < probes && !this.#isStopped; sent++) {
      this.#prober.write(0, 0, size, FLAG_ASK | FLAG_PROBE, this.#probes++, this.#now());
      this.#prober.send(1);
      this.#answers.read(PROBE_MS);
    }
    this.#readRest(sent);
    const { roundTrips, answers } = this.#answers;
    return {
      kind: 'probed',
      offset: this.#answers.takeOffset(),
      probes: sent,
      answered: answers,
      roundTrips: roundTrips.cells,
    };
  }

  #readRest(asked: number): void {
    const end = performance.now() + ANSWERS_MS;
    while (this.#answers.answers < asked && performance.now() < end && !this.#isStopped)
      this.#answers.read(PROBE_MS);
  }

  run({ perSecond, unit, durationMs, packets, asks }: Run): GeneratorOutcome {
    const { live, sizes } = this.#task;
    const sender = this.#sender;
    this.#answers.roundTrips = new Histogram();
    sender.stats.fill(0);
    sender.errno = 0;
    const start = performance.now();
    const pacer = new Pacer(perSecond, start);
    let tried = 0;
    let bytes = 0;
    let refused = 0;
    let burst = 0;
    let asked = 0;
    let askedAt = Number.NEGATIVE_INFINITY;
    let readAt = start;
    let ended = start;
    while (!this.#isStopped && tried < packets) {
      const now = performance.now();
      if (now - start >= durationMs) break;
      pacer.tick(now);
      let isAsking = asks && now - askedAt >= ASK_MS;
      const stamp = this.#now();
      const room = Math.min(sender.capacity, packets - tried);
      let count = 0;
      while (count < room && pacer.isDue) {
        const size = sizes[(tried + count) % sizes.length] ?? 0;
        const flow = (tried + count) % this.#task.flows;
        let flag = 0;
        // Answers to the first flow arrive at the socket that is read.
        if (isAsking && flow === 0) {
          flag = FLAG_ASK;
          isAsking = false;
          asked++;
          askedAt = now;
        }
        const sequence = this.#sequences[flow] ?? 0;
        this.#sequences[flow] = sequence + 1;
        sender.write(count, flow, size, flag, sequence, stamp);
        pacer.spend(unit === 'bits' ? size * 8 : 1);
        bytes += size;
        count++;
      }
      if (count > 0) {
        refused += sender.send(count);
        ended = performance.now();
        tried += count;
        if (count > burst) burst = count;
        live[0] = tried - refused;
      }
      if (asked > this.#answers.answers && now - readAt >= ASK_MS) {
        this.#answers.read(0);
        readAt = now;
      }
      const wait = Math.min(pacer.waitMs, durationMs - (performance.now() - start));
      if (wait > SLEEP_MIN_MS) Atomics.wait(this.#task.stop, 0, 0, wait - SLEEP_MIN_MS / 2);
    }
    this.#readRest(asked);
    const { roundTrips, answers } = this.#answers;
    return {
      kind: 'sent',
      sent: {
        packets: tried - refused,
        bytes: tried > 0 ? Math.round((bytes / tried) * (tried - refused)) : 0,
        refused,
        errno: sender.errno,
        elapsedMs: ended - start,
        burst,
        calls: sender.stats[STAT_CALLS] ?? 0,
        fallbacks: sender.stats[STAT_FALLBACKS] ?? 0,
        asked,
        answered: answers,
        roundTrips: roundTrips.cells,
      },
    };
  }
}

if (parentPort) {
  const port = parentPort;
  const generator = new Generator(workerData as GeneratorTask);
  port.on('message', (order: Order | null) => {
    if (order === null) port.close();
    else port.postMessage(order.kind === 'probe' ? generator.probe(order.probes) : generator.run(order));
  });
}
