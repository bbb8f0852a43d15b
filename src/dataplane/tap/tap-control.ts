import { createRing } from '../descriptor/ring.ts';
import { verdictMask } from '../descriptor/verdict-masks.ts';

/**
 * Taps of a data plane. Each has its own filter and its own ring in every worker, so that captures do not affect each
 * other. The kernel allocates the pages of a ring when its tap is first used.
 */
export const TAPS = 6;
/** The tap that feeds the flow table; the others are for captures. */
export const FLOW_TAP = 0;

/*
 * The control block: int32 in shared memory, written by the thread that starts and stops captures, read by the workers.
 * Word 0: points that are on at any tap, and RECORDING while the headers of all frames are recorded; 0 for none. Word 1:
 * RECORDING or 0. Four words per tap follow.
 */
const CONTROL_WORDS = 4;
/** Points that are on; 0: this tap is off. */
export const CONTROL_POINTS = 0;
/** Bytes to keep of a frame at most. */
export const CONTROL_SNAP = 1;
/** Bit n: frames of verdict n are wanted. */
export const CONTROL_VERDICTS = 2;
/** Peer slot that is wanted, -1 for all, NO_SLOT for none. */
export const CONTROL_PEER = 3;
export const NO_SLOT = -2;
/** A bit next to those of the points. */
export const RECORDING = 1 << 8;
const RECORDING_WORD = 1;

/** What a tap asks of the workers. The rest of its filter is for the reader. */
export interface TapFilter {
  /** Bits of the points. */
  readonly points: number;
  /** Bytes to keep of a frame, 0 for all. */
  readonly snapLength: number;
  /** Numbers of the verdicts, or undefined for all. */
  readonly verdicts?: readonly number[];
  /** Peer slot, or undefined for all. */
  readonly peer?: number;
}

/** The control block of all workers, with all taps off. */
export function createTapControl(): SharedArrayBuffer {
  return new SharedArrayBuffer(4 * CONTROL_WORDS * (TAPS + 1));
}

/** Turns a tap on or off (`undefined`), while traffic flows. Workers see it at their next batch. One thread. */
export function setTapFilter(control: SharedArrayBuffer, tap: number, wanted: TapFilter | undefined): void {
  // Off first: a worker must not see new points together with the old snap length.
  Atomics.store(tapWords(control, tap), CONTROL_POINTS, 0);
  if (wanted) writeFilter(tapWords(control, tap), wanted);
  updateFirstWord(control);
}

/** Turns the recorder of all headers on or off, as `setTapFilter` a tap. */
export function setRecording(control: SharedArrayBuffer, isOn: boolean): void {
  Atomics.store(new Int32Array(control), RECORDING_WORD, isOn ? RECORDING : 0);
  updateFirstWord(control);
}

/** True while the headers of all frames are recorded. */
export function isRecording(control: SharedArrayBuffer): boolean {
  return Atomics.load(new Int32Array(control), RECORDING_WORD) !== 0;
}

function updateFirstWord(control: SharedArrayBuffer): void {
  let points = Atomics.load(new Int32Array(control), RECORDING_WORD);
  for (let one = 0; one < TAPS; one++) points |= Atomics.load(tapWords(control, one), CONTROL_POINTS);
  Atomics.store(new Int32Array(control), 0, points);
}

/** Changes the peer of a tap that is on. @param peer slot, or NO_SLOT */
export function setTapPeer(control: SharedArrayBuffer, tap: number, peer: number): void {
  Atomics.store(tapWords(control, tap), CONTROL_PEER, peer);
}

/** The peer of a tap: slot, -1 for all, or NO_SLOT. */
export function tapPeer(control: SharedArrayBuffer, tap: number): number {
  return Atomics.load(tapWords(control, tap), CONTROL_PEER);
}

/** The words of one tap. */
export function tapWords(control: SharedArrayBuffer, tap: number): Int32Array {
  return new Int32Array(control, 4 * CONTROL_WORDS * (tap + 1), CONTROL_WORDS);
}

function writeFilter(words: Int32Array, wanted: TapFilter): void {
  Atomics.store(words, CONTROL_SNAP, wanted.snapLength || 0x7fffffff);
  Atomics.store(words, CONTROL_VERDICTS, wanted.verdicts ? verdictMask(wanted.verdicts) : -1);
  Atomics.store(words, CONTROL_PEER, wanted.peer ?? -1);
  Atomics.store(words, CONTROL_POINTS, wanted.points);
}

/** Bytes of a worker's ring: some thousand frames of snap length 128, or sixty whole GSO packets. */
const RING_BYTES = 4 << 20;

/** Memory of one tap's ring in one worker. */
export function createTapRing(bytes = RING_BYTES): SharedArrayBuffer {
  return createRing(bytes);
}
