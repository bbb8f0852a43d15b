import type { CaptureContext } from '../../../src/capture/context.ts';
import {
  captureBatch,
  createControl,
  createTapRing,
  openTaps,
  steer,
  TAPS,
  type Wanted,
  wantedPoints,
} from '../../../src/capture/point.ts';
import { TapReader } from '../../../src/capture/record.ts';
import { SOURCE_ADDRESS, SOURCE_PORT, SOURCE_STRIDE } from '../../../src/io/seams.ts';
import * as verdicts from '../../../src/path/verdicts.ts';
import * as batch from '../../../src/shm/batch.ts';
import { commit } from '../../../src/shm/ring.ts';

export const CONTEXT: CaptureContext = {
  mode: 'vxlan',
  vni: 1,
  addresses: ['192.0.2.1', '2001:db8::1'],
  port: 8472,
  sourcePorts: [50001, 50002],
  peers: [
    null,
    { id: 'node-b', address: '192.0.2.2', port: 8472 },
    { id: 'node-c', address: '2001:db8::3', port: 8472 },
  ],
  verdicts: verdicts.VERDICTS,
};
export const UDP_CONTEXT: CaptureContext = {
  ...CONTEXT,
  mode: 'udp',
  port: 8285,
  sourcePorts: [8285],
  peers: [null, { id: 'node-b', address: '192.0.2.2', port: 8285 }],
};

/** A descriptor of the batch that a worker would have judged. */
export interface Judged {
  frame: Uint8Array;
  verdict?: number;
  peer?: number;
  /** virtio-net: flags, gso type, gso size, checksum start and offset. */
  offload?: readonly [number, number, number, number, number];
  segments?: number;
  error?: number;
  socket?: number;
  /** Ingress: underlay source, 4 or 16 bytes, and port. */
  source?: readonly number[];
  port?: number;
}

export const UNOPENED = [
  verdicts.TRUNCATED,
  verdicts.RUNT,
  verdicts.BAD_FLAGS,
  verdicts.WRONG_VNI,
  verdicts.UNKNOWN_PEER,
];
export const DROPS = verdicts.VERDICTS.flatMap((verdict, number) => (verdict.drop ? [number] : []));

/** The tap that `want` turns on and `reader` reads. */
const TAP = 1;

/** One worker of one direction, whose batches a test fills by hand. */
export function worker(
  direction: 'egress' | 'ingress',
  headerBytes = 8,
  ringBytes = 1 << 20,
  control = createControl(),
) {
  const rings = Array.from({ length: TAPS }, () => createTapRing(ringBytes));
  const ring = rings[TAP]!;
  const memory = batch.createBatch(64, 1 << 20);
  const taps = openTaps({
    control,
    rings,
    batch: memory,
    direction,
    drops: DROPS,
    unopened: UNOPENED,
    headerBytes,
  });
  const reader = new TapReader([ring]);
  const sources = new Int32Array(64 * SOURCE_STRIDE);
  const sourceBytes = new Uint8Array(sources.buffer);
  return {
    control,
    reader,
    ring,
    taps,
    /** What a hub or a flow table watches: this one worker. */
    source: {
      control,
      rings: rings.map(one => [one]),
      isOver: false,
      context: () => (headerBytes === 0 ? UDP_CONTEXT : CONTEXT),
    },
    sources,
    /** Starts, changes or stops the capture. */
    want: (wanted: Wanted | undefined) => steer(control, TAP, wanted),
    /** Lets a batch go by and returns how many points were asked for. */
    pass(judged: readonly Judged[], nowMs = 0, tookNs = 0): number {
      let at = 200;
      for (const [i, { frame, ...fields }] of judged.entries()) {
        const verdict = fields.verdict ?? verdicts.FORWARD;
        const opened = direction === 'ingress' && !UNOPENED.includes(verdict) ? headerBytes : 0;
        const [flags, type, size, start, offset] = fields.offload ?? [0, 0, 0, 0, 0];
        memory.slab.set(frame, at);
        const descriptor = memory.table.subarray(i * batch.STRIDE, (i + 1) * batch.STRIDE);
        descriptor[batch.OFFSET] = at + opened;
        descriptor[batch.LENGTH] = frame.length - opened;
        descriptor[batch.VERDICT] = verdict;
        descriptor[batch.PEER] = fields.peer ?? 1;
        descriptor[batch.OFFLOAD] = flags | (type << 8);
        descriptor[batch.GSO_SIZE] = size;
        descriptor[batch.CSUM_START] = start;
        descriptor[batch.CSUM_OFFSET] = offset;
        descriptor[batch.SEGMENTS] = fields.segments ?? 1;
        descriptor[batch.ERROR] = fields.error ?? 0;
        descriptor[batch.SOCKET] = direction === 'egress' ? (fields.socket ?? 0) : i;
        const source = fields.source ?? [192, 0, 2, 2];
        const sixteen = source.length === 16 ? source : [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, ...source];
        sourceBytes.set(sixteen, (i * SOURCE_STRIDE + SOURCE_ADDRESS) * 4);
        sources[i * SOURCE_STRIDE + SOURCE_PORT] = fields.port ?? 50000;
        at += frame.length + 131;
      }
      const points = wantedPoints(taps);
      for (const tap of taps.each) {
        const own = wantedPoints(tap);
        if (own === 0) continue;
        captureBatch(tap, own, judged.length, sources, nowMs, tookNs);
        commit(tap.ring);
      }
      return points;
    },
  };
}
