import { FORMATS } from '../../../encap/formats.ts';
import { elementAt } from '../../base/at.ts';
import { type Batch, DESC_PEER, DESC_VERDICT } from '../../dataplane/descriptor/descriptor.ts';
import { describePacket } from '../decode/text.ts';
import type { CaptureReader } from '../format/reader.ts';
import type { ReplayConfig } from './config.ts';
import { type ReplayInput, replayInput } from './input.ts';
import type { ReplayIo, ReplayOutput } from './io.ts';

/** A forwarder without devices, connected to `ends`. */
export interface ReplayForwarder {
  readonly ends: ReplayIo;
  /** Forwards one batch of the direction. Returns the number of frames. */
  turn(direction: 'egress' | 'ingress'): number;
  readonly egressBatch: Batch;
  readonly ingressBatch: Batch;
  /** Name of the peer in a slot. */
  peerId(slot: number): string | undefined;
  /** Sets its clock, milliseconds. */
  setTime(nowMs: number): void;
}

/** The result of one packet. */
export interface ReplayResult {
  /** Number in the file, from 1. */
  readonly number: number;
  readonly time: bigint;
  readonly direction: 'egress' | 'ingress';
  /** Description of the inner frame. */
  readonly text: string;
  /** The inner frame. */
  readonly frame: Uint8Array;
  /** Number of the verdict. */
  readonly verdict: number;
  readonly peer: string | undefined;
  readonly outputs: readonly ReplayOutput[];
}

/** A packet that is not replayed, and why. */
export interface ReplaySkip {
  readonly number: number;
  readonly skipped: string;
}

/**
 * Feeds a capture through a forwarder in batches of one packet, so that each output belongs to its packet. The clock is
 * that of the capture: the same file and configuration give the same results, including rate limits.
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
    // Captures are not always in order; the clock of a forwarder is monotonic.
    clock = Math.max(clock, Number(packet.time - start) / 1e6);
    const names = new Set(reader.interfaces.map(point => point.name));
    const input = replayInput(packet, elementAt(reader.interfaces, packet.interface), names, config);
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
  ends.load(input);
  forwarder.turn(input.direction);
  const table = (input.direction === 'egress' ? forwarder.egressBatch : forwarder.ingressBatch).table;
  const slot = elementAt(table, DESC_PEER);
  const frame = frameOf(input, config);
  return {
    direction: input.direction,
    text: describePacket(frame, config.mode === 'vxlan' ? 'ethernet' : 'ip'),
    frame,
    verdict: elementAt(table, DESC_VERDICT),
    peer: slot < 0 ? undefined : forwarder.peerId(slot),
    outputs: ends.outputs.slice(),
  };
}

/** The inner frame; empty for a datagram that is too short. */
function frameOf(input: ReplayInput, config: ReplayConfig): Uint8Array {
  if (input.direction === 'egress') return input.frame;
  return input.payload.subarray(FORMATS[config.mode].headerBytes);
}
