import { ACK, FIN, RST, SYN } from '../../../encap/wire/tcp.ts';
import type { FlowEntry } from './flow-entry.ts';
import type { FlowFields } from './flow-fields.ts';

/*
 * What the sequence numbers tell somebody in the middle. Numbers are compared modulo 2^32 (RFC 9293 section 3.4): a
 * difference as int32 below zero is "before".
 */

/** A hole that is filled sooner than this was a detour of the network, not a retransmission (as Wireshark has it). */
const REORDER_MS = 3;
/** Weight of a new sample in the smoothed time (RFC 6298 section 2). */
const SMOOTHING = 1 / 8;

/**
 * Looks at a segment in the direction that sends it.
 * @returns packets of it that were sent before
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
    // A segment that was sent twice tells no time: nobody knows which one is acknowledged (Karn's algorithm).
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

/** True when the segment fills the youngest hole so soon that it was only overtaken. */
function isLate(flow: FlowEntry, sequence: number, nowMs: number): boolean {
  if (!flow.hasGap || ((sequence - flow.gapStart) | 0) < 0 || ((sequence - flow.gapEnd) | 0) >= 0)
    return false;
  const limit = flow.rttMin > 0 ? Math.min(REORDER_MS, flow.rttMin) : REORDER_MS;
  return nowMs - flow.gapAt < limit;
}

/**
 * Looks at a segment in the direction that it acknowledges.
 * @param flow the one whose segments are acknowledged
 * @param wholeSince nothing was unsampled since then: what was timed before may have been acknowledged unseen
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

/** The smoothed time after one more sample; -1 stands for none yet. */
export function ewma(before: number, sample: number): number {
  return before < 0 ? sample : before + (sample - before) * SMOOTHING;
}
