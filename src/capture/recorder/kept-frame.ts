import { DROP_VERDICTS, FORWARD } from '../../dataplane/descriptor/verdicts.ts';
import * as kept from '../../dataplane/tap/kept-record.ts';
import { type KeptRing, keptOffset } from '../../dataplane/tap/kept-ring.ts';
import * as capture from '../../dataplane/tap/record-layout.ts';
import { headerLength } from './header-length.ts';

/** A frame of the flight recorder as a record of a capture: header, padding and bytes of `record-layout.ts`. */
export interface KeptFrame {
  /** KIND_EGRESS or KIND_INGRESS. */
  readonly kind: number;
  readonly layout: FrameLayout;
  readonly bytes: Uint8Array;
  readonly view: DataView;
}

/** Link type of the inner frames, and bytes of the encapsulation in front of them on ingress. */
export interface FrameLayout {
  readonly link: 'ethernet' | 'ip';
  readonly headerBytes: number;
}

/** Bytes of the longest frame. */
const FRAME_BYTES = capture.RECORD_HEADER_BYTES + kept.KEPT_SNAP + 4;

/** One frame to be filled again and again. */
export function createKeptFrame(kind: number, layout: FrameLayout): KeptFrame {
  const bytes = new Uint8Array(FRAME_BYTES);
  return { kind, layout, bytes, view: new DataView(bytes.buffer) };
}

/** Nanoseconds since 1970-01-01 UTC, as a float64: exact to a quarter of a microsecond. */
export function keptTime(ring: KeptRing, position: number): number {
  const at = keptOffset(ring, position);
  const word = (index: number) => ring.view.getInt32(at + 4 * index, true);
  return (word(kept.KEPT_SECONDS) >>> 0) * 1e9 + word(kept.KEPT_NANOSECONDS);
}

/** The verdict of the record at a position. */
export function keptVerdict(ring: KeptRing, position: number): number {
  return ring.view.getUint8(keptOffset(ring, position) + 4 * kept.KEPT_LENGTH_AND_VERDICT + 3);
}

/** Where the bytes of a record are: offset in the view of its ring, captured and original length. */
export interface KeptBytes {
  readonly at: number;
  readonly captured: number;
  readonly length: number;
  /** gso_size. */
  readonly segment: number;
}

/**
 * The inner frame of a record.
 * @param headerBytes of the encapsulation on ingress, 0 on egress
 */
export function innerBytes(ring: KeptRing, position: number, headerBytes: number): KeptBytes {
  const record = keptOffset(ring, position);
  const word = (index: number) => ring.view.getInt32(record + 4 * index, true);
  const padding = word(kept.KEPT_LATENCY_AND_PADDING) & 3;
  const length = word(kept.KEPT_LENGTH_AND_VERDICT) & 0xffffff;
  return {
    at: record + 4 * kept.KEPT_DATA + padding + headerBytes,
    captured: Math.max(0, Math.min(length, kept.KEPT_SNAP) - headerBytes),
    length: Math.max(0, length - headerBytes),
    segment: word(kept.KEPT_OFFLOAD) >>> 16,
  };
}

/** The points that a frame passed. */
export function pointsOf(kind: number, verdict: number): number {
  const [first, last] =
    kind === capture.KIND_EGRESS
      ? [capture.EGRESS_INNER, capture.EGRESS_OUTER]
      : [capture.INGRESS_OUTER, capture.INGRESS_INNER];
  if (verdict === FORWARD) return first | last;
  return DROP_VERDICTS.includes(verdict) ? first | capture.DROP : first;
}

/**
 * Copies the record at a position into `frame`, without its payload. The producer may overwrite the record meanwhile: ask
 * `isKept` afterwards.
 * @param points those of the capture
 * @returns bytes of the record of a capture
 */
export function copyKept(ring: KeptRing, position: number, frame: KeptFrame, points: number): number {
  const { view: to, kind } = frame;
  const record = keptOffset(ring, position);
  const from = ring.view;
  const word = (index: number) => from.getInt32(record + 4 * index, true);
  const put = (index: number, value: number) => to.setInt32(4 * index, value, true);
  const lengthAndVerdict = word(kept.KEPT_LENGTH_AND_VERDICT);
  const peerAndError = word(kept.KEPT_PEER_AND_ERROR);
  const offload = word(kept.KEPT_OFFLOAD);
  const checksum = word(kept.KEPT_CHECKSUM);
  const segmentsAndPort = word(kept.KEPT_SEGMENTS_AND_PORT);
  const latencyAndPadding = word(kept.KEPT_LATENCY_AND_PADDING);
  const length = lengthAndVerdict & 0xffffff;
  const verdict = lengthAndVerdict >>> 24;
  const peer = peerAndError & 0xffff;
  const padding = latencyAndPadding & 3;
  const captured = Math.min(length, kept.KEPT_SNAP);
  put(capture.RECORD_POINTS, pointsOf(kind, verdict) & points);
  put(capture.RECORD_SECONDS, word(kept.KEPT_SECONDS));
  put(capture.RECORD_NANOSECONDS, word(kept.KEPT_NANOSECONDS));
  put(capture.RECORD_LENGTH, length);
  put(capture.RECORD_VERDICT, verdict);
  put(capture.RECORD_PEER, peer === kept.NO_KEPT_PEER ? -1 : peer);
  put(capture.RECORD_OFFLOAD, offload & 0xffff);
  put(capture.RECORD_GSO_SIZE, offload >>> 16);
  put(capture.RECORD_CSUM_START, checksum & 0xffff);
  put(capture.RECORD_CSUM_OFFSET, checksum >>> 16);
  put(capture.RECORD_SEGMENTS, segmentsAndPort & 0xffff);
  put(capture.RECORD_ERROR, peerAndError >>> 16);
  put(capture.RECORD_PORT, segmentsAndPort >>> 16);
  for (let i = 0; i < 4; i++)
    put(
      capture.RECORD_ADDRESS + i,
      kind === capture.KIND_INGRESS ? word(kept.KEPT_ADDRESS + i) : capture.NO_PLACES,
    );
  put(capture.RECORD_HOP_LIMIT, -1);
  put(capture.RECORD_FLOW_INFO, 0);
  put(capture.RECORD_LOST, 0);
  put(capture.RECORD_LATENCY_AND_PADDING, latencyAndPadding);
  put(capture.RECORD_DECIDED, word(kept.KEPT_DECIDED));
  put(capture.RECORD_GENERATION, word(kept.KEPT_GENERATION));
  put(capture.RECORD_LOST_FORWARDED, 0);
  put(capture.RECORD_LOST_DROPPED, 0);
  const data = record + 4 * kept.KEPT_DATA;
  const start = capture.RECORD_HEADER_BYTES + padding;
  frame.bytes.set(
    new Uint8Array(from.buffer, from.byteOffset + data, padding + captured),
    capture.RECORD_HEADER_BYTES,
  );
  const front = kind === capture.KIND_INGRESS ? Math.min(captured, frame.layout.headerBytes) : 0;
  const headers = front + headerLength(to, start + front, captured - front, frame.layout.link);
  put(capture.RECORD_CAPTURED, headers);
  frame.bytes.fill(0, start + headers);
  return start + headers;
}
