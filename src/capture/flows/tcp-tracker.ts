import { ACK, FIN, RST, SYN } from '../../../encap/wire/tcp.ts';
import type { FlowEntry } from './flow-entry.ts';
import type { FlowFields } from './flow-fields.ts';

/*
 * What a device on the path can infer from sequence numbers. Numbers are compared modulo 2^32 (RFC 9293 section 3.4): a
 * difference as int32 below zero is "before".
 */

/** A gap that is filled within this time is reordering, not a retransmission (as in Wireshark). */
const REORDER_MS = 3;
/** Weight of a new sample in the smoothed RTT (RFC 6298 section 2). */
const SMOOTHING = 1 / 8;

/**
 * Tracks a segment of the flow.
 * @returns number of its packets that are retransmissions
 */
export function onDataSent(flow: FlowEntry, fields: FlowFields, nowMs: number): number {
  const { flags, sequence, payload } = fields;
  if (flags & (FIN | RST)) flow.isEnding = true;
  const length = payload + (flags & SYN ? 1 : 0) + (flags & FIN ? 1 : 0);
  const end = (sequence + length) | 0;
  const isNewConnection = (flags & SYN) !== 0 && end !== flow.next;
  if (!flow.isFollowed || isNewConnection) {
    flow.isFollowed = true;
    flow.next = end;
    flow.hasGap = flow.isTimed = false;
    flow.isEnding = (flags & (FIN | RST)) !== 0;
    if (length > 0) time(flow, end, nowMs);
    return 0;
  }
  if (length === 0) return 0;
  const ahead = (sequence - flow.next) | 0;
  if (ahead < 0) {
    const isProbe = payload <= 1 && ahead === -1 && (flags & (SYN | FIN)) === 0;
    const again = isProbe || isLate(flow, sequence, nowMs) ? 0 : Math.min(length, -ahead);
    // A retransmitted segment gives no RTT sample, as its acknowledgement is ambiguous (Karn's algorithm).
    if (again > 0 && ((sequence - flow.timedEnd) | 0) < 0) flow.isTimed = false;
    if (((end - flow.next) | 0) > 0) flow.next = end;
    return Math.ceil(again / fields.segment);
  }
  if (ahead > 0) {
    flow.hasGap = true;
    flow.gapStart = flow.next;
    flow.gapEnd = sequence;
    flow.gapAt = nowMs;
  }
  flow.next = end;
  if (!flow.isTimed) time(flow, end, nowMs);
  return 0;
}

function time(flow: FlowEntry, end: number, nowMs: number): void {
  flow.isTimed = true;
  flow.timedEnd = end;
  flow.timedAt = nowMs;
}

/** True if the segment fills the youngest gap so early that it was only reordered. */
function isLate(flow: FlowEntry, sequence: number, nowMs: number): boolean {
  if (!flow.hasGap || ((sequence - flow.gapStart) | 0) < 0 || ((sequence - flow.gapEnd) | 0) >= 0)
    return false;
  const limit = flow.rttMin > 0 ? Math.min(REORDER_MS, flow.rttMin) : REORDER_MS;
  return nowMs - flow.gapAt < limit;
}

/**
 * Tracks an acknowledgement.
 * @param flow the flow whose segments are acknowledged
 * @param wholeSince since when every frame was sampled: an earlier segment may have been acknowledged unseen
 * @returns milliseconds since the timed segment passed, -1 for no sample
 */
export function onAck(flow: FlowEntry, fields: FlowFields, nowMs: number, wholeSince: number): number {
  if (!flow.isTimed || (fields.flags & ACK) === 0) return -1;
  if (((fields.acknowledgement - flow.timedEnd) | 0) < 0) return -1;
  flow.isTimed = false;
  const sample = nowMs - flow.timedAt;
  if (sample < 0 || flow.timedAt < wholeSince) return -1;
  flow.rtt = ewma(flow.rtt, sample);
  flow.rttMin = flow.rttMin < 0 ? sample : Math.min(flow.rttMin, sample);
  return sample;
}

/** Exponentially weighted moving average; -1 means no sample yet. */
export function ewma(before: number, sample: number): number {
  return before < 0 ? sample : before + (sample - before) * SMOOTHING;
}
