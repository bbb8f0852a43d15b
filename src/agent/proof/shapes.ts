import type { ProofLimits } from '../../dataplane/proof-port.ts';

/** A train: IP packets of `bytes` each, but for the last one, which has `tail`. */
export interface TrainShape {
  readonly segments: number;
  readonly bytes: number;
  readonly tail: number;
}

/** What 64 KiB of TCP become at an MTU of 1500. */
const SEGMENTS_MAX = 45;
const SEGMENTS_MIDDLE = 9;
/** Bytes of a small IP packet. */
const SMALL = 128;

/**
 * The trains that traffic makes: TCP fills the path MTU, with a short segment at the end of a write or equal ones where 64 KiB end;
 * UDP sends many of one size. Kernels and drivers treat equal trains and trains with a tail differently.
 */
export function shapesFor({ packet, overhead, message }: ProofLimits): TrainShape[] {
  const fitting = (bytes: number): number => Math.min(SEGMENTS_MAX, Math.floor(message / (bytes + overhead)));
  const most = fitting(packet);
  const counts = [...new Set([2, SEGMENTS_MIDDLE, most])].filter(count => count >= 2 && count <= most);
  const full = counts.flatMap(segments => [
    { segments, bytes: packet, tail: packet },
    { segments, bytes: packet, tail: (packet >> 1) | 1 },
  ]);
  return [...full, { segments: fitting(SMALL), bytes: SMALL, tail: SMALL }];
}

/** `44 x 1472 bytes`, `8 x 1472 + 748 bytes`: sizes of UDP payload. */
export function describeShape({ segments, bytes, tail }: TrainShape, overhead: number): string {
  if (tail === bytes) return `${segments} x ${bytes + overhead} bytes`;
  return `${segments - 1} x ${bytes + overhead} + ${tail + overhead} bytes`;
}
