import { described, listOf, nullable, number, record, string, type ValueOf } from '../../base/schema.ts';
import { VERDICTS } from '../../dataplane/descriptor/verdicts.ts';

export const stackChanges = listOf(
  record({
    counter: described('name as nstat(8) prints it', string),
    change: described('difference between end and start', number),
  }),
);

export type StackChanges = ValueOf<typeof stackChanges>;

const auditDirection = record({
  device: described('device of the overlay', string),
  direction: described('`egress` or `ingress`', string),
  countedAt: described('hook of the kernel where the packets were counted that entered', string),
  entered: described(
    'what entered: frames as the kernel handles them, segments as a wire carries them',
    record({
      frames: described('GSO packets whole; at ingress, packets that the kernel coalesced', number),
      segments: described('packets of the wire', number),
    }),
  ),
  outcomes: described(
    'frames by verdict, the most frequent first; at ingress datagrams, but for `socket-dropped`: packets that may hold several',
    listOf(
      record({
        verdict: described('name of the verdict', string),
        frames: described('frames', number),
        meaning: described('what the verdict means', string),
      }),
    ),
  ),
  read: described('frames that were read from the device; at ingress packets that were received', number),
  queued: described(
    'frames that wait, more (or less, if negative) than at the start; null at ingress while datagrams wait, which the kernel counts in bytes only',
    nullable(number),
  ),
  residue: described(
    'what entered without an outcome; negative if more was judged than entered. Segments are null where they cannot be compared: the kernel counts dropped and waiting frames only',
    record({
      frames: described('frames', number),
      segments: described('packets of the wire; datagrams at ingress', nullable(number)),
    }),
  ),
});

export const audit = record({
  seconds: described('length of the window', number),
  directions: described('two per overlay', listOf(auditDirection)),
  stack: described(
    'counters of the IP stack that changed, all programs of the network namespace together; they are not part of the account',
    stackChanges,
  ),
});

export type Audit = ValueOf<typeof audit>;
export type AuditDirection = ValueOf<typeof auditDirection>;

/** What one direction of an overlay has counted, as sums since some start. */
export interface Reading {
  /** What entered, by the kernel's own count at the hook. */
  readonly frames: number;
  readonly segments: number;
  /** Frames by verdict that workers gave. */
  readonly judged: Readonly<Record<string, number>>;
  /** Segments of the frames that workers judged; egress only. */
  readonly judgedSegments: number;
  /** Frames that the kernel dropped before a worker, and the name of that verdict. */
  readonly dropped: number;
  readonly droppedAs: string;
  /** Frames that were read from the device, or packets from the sockets. */
  readonly read: number;
  /** Bytes that wait in the sockets now; ingress only. */
  readonly waitingBytes: number;
}

type Outcome = Pick<AuditDirection, 'entered' | 'outcomes' | 'read' | 'queued' | 'residue'>;

/**
 * The account of egress between two readings. The device counts what was read from it, so that what waits is known.
 * @param queueLength frames that the queue of the device holds: more cannot wait, so the rest is residue
 */
export function egressBalance(before: Reading, after: Reading, queueLength: number): Outcome {
  const entered = enteredBetween(before, after);
  const judged = judgedBetween(before, after);
  const read = after.read - before.read;
  const dropped = after.dropped - before.dropped;
  const missing = entered.frames - dropped - read;
  const queued = Math.min(missing, queueLength);
  const isComparable = dropped === 0 && queued === 0;
  return {
    entered,
    outcomes: outcomesOf(judged, after.droppedAs, dropped),
    read,
    queued,
    residue: {
      frames: missing - queued + read - sumOf(judged),
      segments: isComparable ? entered.segments - (after.judgedSegments - before.judgedSegments) : null,
    },
  };
}

/**
 * The account of ingress between two readings. The kernel drops whole packets at the socket, and a packet that it coalesced
 * holds several datagrams: packets are compared with packets, and datagrams where none was dropped.
 */
export function ingressBalance(before: Reading, after: Reading): Outcome {
  const entered = enteredBetween(before, after);
  const judged = judgedBetween(before, after);
  const dropped = after.dropped - before.dropped;
  const read = after.read - before.read;
  return {
    entered,
    outcomes: outcomesOf(judged, after.droppedAs, dropped),
    read,
    queued: after.waitingBytes === 0 ? 0 : null,
    residue: {
      frames: entered.frames - dropped - read,
      segments: dropped === 0 ? entered.segments - sumOf(judged) : null,
    },
  };
}

function enteredBetween(before: Reading, after: Reading): AuditDirection['entered'] {
  return { frames: after.frames - before.frames, segments: after.segments - before.segments };
}

/** Frames by verdict between two readings. */
function judgedBetween(before: Reading, after: Reading): Map<string, number> {
  return new Map(
    Object.entries(after.judged).map(([name, frames]) => [name, frames - (before.judged[name] ?? 0)]),
  );
}

function sumOf(judged: ReadonlyMap<string, number>): number {
  return [...judged.values()].reduce((sum, frames) => sum + frames, 0);
}

function outcomesOf(
  judged: ReadonlyMap<string, number>,
  droppedAs: string,
  dropped: number,
): Outcome['outcomes'] {
  const frames = new Map([...judged, [droppedAs, dropped]]);
  return VERDICTS.map(({ name, meaning }) => ({ verdict: name, frames: frames.get(name) ?? 0, meaning }))
    .filter(one => one.frames !== 0)
    .sort((a, b) => b.frames - a.frames);
}
