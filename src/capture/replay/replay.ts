import { FORMATS } from '../../../encap/formats.ts';
import { elementAt } from '../../base/at.ts';
import { type Batch, DESC_PEER, DESC_VERDICT } from '../../dataplane/descriptor/descriptor.ts';
import { describePacket } from '../decode/text.ts';
import type { CaptureInterface } from '../format/packet.ts';
import type { CaptureReader } from '../format/reader.ts';
import type { ReplayConfig } from './config.ts';
import { InputReader, type ReplayInput } from './input.ts';
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

/** Where an input is in the file. */
export interface ReplayPlace {
  /** Number of the packet, from 1. */
  readonly number: number;
  /** Number of the datagram, from 1, where the packet holds several that were merged. */
  readonly part?: number | undefined;
}

/** The result of one packet, or of one datagram of several that were merged. */
export interface ReplayResult extends ReplayPlace {
  readonly time: bigint;
  readonly direction: 'egress' | 'ingress';
  /** Description of the inner frame. */
  readonly text: string;
  /** The captured bytes of the inner frame, and its length. */
  readonly frame: Uint8Array;
  readonly length: number;
  /** Number of the verdict. */
  readonly verdict: number;
  readonly peer: string | undefined;
  readonly outputs: readonly ReplayOutput[];
}

/** A packet or a datagram that is not judged, and why. */
export interface ReplaySkip extends ReplayPlace {
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
  const inputs = new InputReader(config);
  let number = 0;
  let clock = 0;
  let start: bigint | undefined;
  for await (const packet of reader.packets()) {
    number++;
    start ??= packet.time;
    // Captures are not always in order; the clock of a forwarder is monotonic.
    clock = Math.max(clock, Number(packet.time - start) / 1e6);
    const point = elementAt(reader.interfaces, packet.interface);
    const judgements = inputs.read(packet, point, sectionOf(reader, packet.interface));
    for (const [index, input] of judgements.entries()) {
      const place = { number, ...(judgements.length > 1 ? { part: index + 1 } : {}) };
      if ('skipped' in input) {
        yield { ...place, skipped: input.skipped };
        continue;
      }
      forwarder.setTime(clock);
      yield { ...place, time: packet.time, ...pass(input, config, forwarder) };
    }
  }
}

/** The interfaces of the section that has the interface `index`. */
function sectionOf({ interfaces, sections }: CaptureReader, index: number): CaptureInterface[] {
  return interfaces.filter((_, other) => sections[other] === sections[index]);
}

function pass(
  input: ReplayInput,
  config: ReplayConfig,
  forwarder: ReplayForwarder,
): Omit<ReplayResult, keyof ReplayPlace | 'time'> {
  const { ends } = forwarder;
  ends.outputs.length = 0;
  ends.load(input);
  forwarder.turn(input.direction);
  const table = (input.direction === 'egress' ? forwarder.egressBatch : forwarder.ingressBatch).table;
  const slot = elementAt(table, DESC_PEER);
  const header = input.direction === 'ingress' ? FORMATS[config.mode].headerBytes : 0;
  const whole = input.direction === 'ingress' ? input.payload : input.frame;
  // Empty for a datagram that is too short.
  const frame = whole.subarray(header, Math.max(header, input.captured));
  const length = Math.max(0, whole.length - header);
  return {
    direction: input.direction,
    text: describePacket(frame, config.mode === 'vxlan' ? 'ethernet' : 'ip', { length }),
    frame,
    length,
    verdict: elementAt(table, DESC_VERDICT),
    peer: slot < 0 ? undefined : forwarder.peerId(slot),
    outputs: ends.outputs.slice(),
  };
}
