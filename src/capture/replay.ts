import { FORMATS } from '../../encap/formats.ts';
import { type Batch, PEER, STRIDE, VERDICT } from '../shm/batch.ts';
import { describePacket } from './packet-text.ts';
import type { CaptureReader } from './reader.ts';
import type { ReplayConfig } from './replay-config.ts';
import type { ReplayEnds, ReplayOutput } from './replay-ends.ts';
import { type ReplayInput, replayInput } from './replay-input.ts';

/** A forwarder without devices, as the wiring builds it around `ends`. */
export interface ReplayForwarder {
  readonly ends: ReplayEnds;
  /** One batch of the direction. Returns the frames handled. */
  turn(direction: 'egress' | 'ingress'): number;
  readonly egressBatch: Batch;
  readonly ingressBatch: Batch;
  /** Name of the peer in a slot. */
  peerId(slot: number): string | undefined;
  /** Sets its clock, milliseconds. */
  setTime(nowMs: number): void;
}

/** What became of one packet. */
export interface ReplayResult {
  /** Number in the file, from 1. */
  readonly number: number;
  readonly time: bigint;
  readonly direction: 'egress' | 'ingress';
  /** One line about the packet: the frame on egress, the frame inside on ingress. */
  readonly text: string;
  /** Bytes of that frame. */
  readonly frame: Uint8Array;
  /** Number of the verdict. */
  readonly verdict: number;
  readonly peer: string | undefined;
  readonly outputs: readonly ReplayOutput[];
}

/** A packet that was not for the forwarder, and why. */
export interface ReplaySkip {
  readonly number: number;
  readonly skipped: string;
}

/**
 * Feeds a capture through a forwarder, a packet a turn, so that each output has its cause. The clock is that of the
 * capture: the same file and configuration give the same results, rate limits included.
 */
export async function* replay(
  reader: CaptureReader,
  config: ReplayConfig,
  forwarder: ReplayForwarder,
): AsyncGenerator<ReplayResult | ReplaySkip, void, void> {
  let number = 0;
  let clock = 0;
  let start: bigint | undefined;
  for await (const packet of reader.packets()) {
    number++;
    start ??= packet.time;
    // Captures are not always in order; the clock of a forwarder never goes back.
    clock = Math.max(clock, Number(packet.time - start) / 1e6);
    const names = new Set(reader.interfaces.map(point => point.name));
    const input = replayInput(packet, reader.interfaces[packet.interface]!, names, config);
    if ('skipped' in input) {
      yield { number, skipped: input.skipped };
      continue;
    }
    forwarder.setTime(clock);
    yield { number, time: packet.time, ...pass(input, config, forwarder) };
  }
}

function pass(
  input: ReplayInput,
  config: ReplayConfig,
  forwarder: ReplayForwarder,
): Omit<ReplayResult, 'number' | 'time'> {
  const { ends } = forwarder;
  ends.outputs.length = 0;
  ends.load([input]);
  forwarder.turn(input.direction);
  const table = (input.direction === 'egress' ? forwarder.egressBatch : forwarder.ingressBatch).table;
  const slot = table[PEER]!;
  const frame = frameOf(input, config);
  return {
    direction: input.direction,
    text: describePacket(frame, config.mode === 'vxlan' ? 'ethernet' : 'ip'),
    frame,
    verdict: table[VERDICT]!,
    peer: slot < 0 ? undefined : forwarder.peerId(slot),
    outputs: ends.outputs.slice(),
  };
}

/** The frame inside, also of a datagram too short to hold one. */
function frameOf(input: ReplayInput, config: ReplayConfig): Uint8Array {
  if (input.direction === 'egress') return input.frame;
  return input.payload.subarray(FORMATS[config.mode].headerBytes);
}

/** What a run for speed counted. */
export interface ReplayRate {
  readonly packets: number;
  readonly skipped: number;
  /** Frames by number of the verdict. */
  readonly verdicts: readonly number[];
  /** Seconds in the forwarder, reading the file not included. */
  readonly seconds: number;
}

/** Feeds a capture through a forwarder as fast as it goes, in full batches, and keeps no output. */
export async function replayForSpeed(
  reader: CaptureReader,
  config: ReplayConfig,
  forwarder: ReplayForwarder,
): Promise<ReplayRate> {
  const { ends } = forwarder;
  const verdicts: number[] = [];
  let packets = 0;
  let skipped = 0;
  let milliseconds = 0;
  let waiting: ReplayInput[] = [];
  ends.keeps = false;
  const flush = () => {
    if (waiting.length === 0) return;
    const direction = waiting[0]!.direction;
    const { table } = direction === 'egress' ? forwarder.egressBatch : forwarder.ingressBatch;
    ends.load(waiting);
    packets += waiting.length;
    waiting = [];
    const start = performance.now();
    for (let count = forwarder.turn(direction); count > 0; count = forwarder.turn(direction))
      for (let at = 0; at < count * STRIDE; at += STRIDE) {
        const verdict = table[at + VERDICT]!;
        verdicts[verdict] = (verdicts[verdict] ?? 0) + 1;
      }
    milliseconds += performance.now() - start;
  };
  for await (const packet of reader.packets()) {
    const names = new Set(reader.interfaces.map(point => point.name));
    const input = replayInput(packet, reader.interfaces[packet.interface]!, names, config);
    if ('skipped' in input) {
      skipped++;
      continue;
    }
    if (waiting.length > 0 && waiting[0]!.direction !== input.direction) flush();
    waiting.push(input);
    if (waiting.length === forwarder.egressBatch.capacity) flush();
  }
  flush();
  return {
    packets,
    skipped,
    verdicts: Array.from(verdicts, count => count ?? 0),
    seconds: milliseconds / 1000,
  };
}
