import type { CaptureSource } from '../live/capture-hub.ts';
import { type CapturePeer, type CaptureVerdict, encapsulationOf } from '../live/context.ts';
import type { FrameLayout } from './kept-frame.ts';

/** What a running data plane offers to the flight recorder. */
export interface RecorderSource extends CaptureSource {
  /** Memory by direction of a queue, in the order egress, ingress, egress, …; none without a flight recorder. */
  readonly losses: readonly SharedArrayBuffer[];
  readonly headers: readonly SharedArrayBuffer[];
  /** Whether the workers record the headers of all frames. */
  isRecording: boolean;
  /** Set by the reader: called before the peers change. */
  beforeChange: () => void;
  /** Set by the reader: called when a slot is free for another peer. */
  slotFreed: (slot: number) => void;
  /** By number. */
  readonly verdicts: readonly CaptureVerdict[];
  /** The slot that a peer has now. */
  slotOf(id: string): number | undefined;
  /** The peer that has a slot now. */
  peerAt(slot: number): CapturePeer | undefined;
}

/** Direction by its place: `DataPlane` numbers two per queue, egress first. */
export function kindOfWorker(worker: number): number {
  return worker % 2;
}

export function layoutOf(source: RecorderSource): FrameLayout {
  const { inner: link, headerBytes } = encapsulationOf(source.context());
  return { link, headerBytes };
}
