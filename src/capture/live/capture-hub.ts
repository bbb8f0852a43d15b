import { setTimeout as sleep } from 'node:timers/promises';
import { elementAt } from '../../base/at.ts';
import { RipstopError } from '../../base/errors.ts';
import { KIND_EGRESS } from '../../dataplane/tap/record-layout.ts';
import {
  FLOW_TAP,
  NO_SLOT,
  setTapFilter,
  setTapPeer,
  TAPS,
  tapPeer,
} from '../../dataplane/tap/tap-control.ts';
import { resolveSelection, type Selection } from '../filter/selection.ts';
import type { CaptureContext, OuterLink, PeerChange } from './context.ts';
import { PeerHistory } from './peer-history.ts';
import { type RecordVisitor, recordPeer, TapReader } from './record.ts';
import { encodeContext, encodeOuterLink, encodePeerChange, RecordQueue } from './record-stream.ts';

/** What a running data plane offers to captures. */
export interface CaptureSource {
  readonly control: SharedArrayBuffer;
  /** By tap, one ring per worker. */
  readonly rings: readonly (readonly SharedArrayBuffer[])[];
  /** True when the data plane has ended. */
  readonly isClosed: boolean;
  /** The present context; peers come and go. */
  context(): CaptureContext;
  /** How the peers have changed after a generation, the oldest change first. */
  changesAfter(generation: number): readonly PeerChange[];
  /** Whether the kernel is to report the outer headers of received datagrams, which costs a little per message. */
  reportHeaders?(isOn: boolean): void;
}

/** How the kernel sends to an underlay address now, undefined without a route. Netlink: some 50 µs. */
export type LinkLookup = (address: string) => OuterLink | undefined;

/** Polling interval of the rings, milliseconds. At full rate and snap length 128 a ring holds far more than that. */
const POLL_MS = 5;

/** How long a new capture waits for the end of another one, milliseconds. */
const GRACE_MS = 500;

/** How long what the kernel said of a link is used, milliseconds. */
const LINK_MS = 1000;

/** How long a tap stays unused after a capture, milliseconds: a worker may still write its current batch. */
const DRAIN_MS = 50;

/**
 * The captures of one data plane. Each has its own tap with its own rings, as a ring has one reader. Runs on the
 * control thread, never on a worker. If a consumer is slow, its rings fill up and the workers count the lost records;
 * other captures are not affected.
 */
export class CaptureHub {
  readonly #source: CaptureSource;
  readonly #linkTo: LinkLookup;
  #running = 0;
  readonly #free = [...Array(TAPS).keys()].filter(tap => tap !== FLOW_TAP);

  constructor(source: CaptureSource, linkTo: LinkLookup = () => undefined) {
    this.#source = source;
    this.#linkTo = linkTo;
  }

  /**
   * Starts a capture. The stream is that of `record-stream.ts`. When `signal` aborts, the workers stop copying and the stream
   * ends with what they had copied and lost; it also ends when its consumer leaves. Throws RipstopError EINUSE, or ECAPTURE
   * for a name that is not known.
   */
  async start(selection: Selection, signal: AbortSignal): Promise<AsyncGenerator<Uint8Array, void, void>> {
    // A capture that its user has just stopped may still hold its tap.
    for (
      const started = performance.now();
      this.#free.length === 0 && performance.now() - started < GRACE_MS;
    )
      await sleep(POLL_MS);
    resolveSelection(selection, this.#source.context());
    const tap = this.#free.shift();
    if (tap === undefined)
      throw new RipstopError('EINUSE', `${TAPS - 1} captures are running`, 'stop one of them first');
    const use: TapUse = { tap, isRead: false, isFree: false };
    // A stream that was never read cannot end by itself.
    const stop = () => {
      // The tap may be another capture's by now.
      if (use.isFree) return;
      setTapFilter(this.#source.control, tap, undefined);
      if (!use.isRead) this.#release(use);
    };
    if (signal.aborted) stop();
    else signal.addEventListener('abort', stop, { once: true });
    return this.#stream(use, selection, signal);
  }

  /** Gives a tap back, once. */
  #release(use: TapUse): void {
    if (use.isFree) return;
    use.isFree = true;
    if (use.isRead && --this.#running === 0) this.#source.reportHeaders?.(false);
    setTapFilter(this.#source.control, use.tap, undefined);
    // To the front: one capture after another uses the same rings, and those of the other taps never become resident.
    setTimeout(() => this.#free.unshift(use.tap), DRAIN_MS).unref();
  }

  async *#stream(
    use: TapUse,
    selection: Selection,
    signal: AbortSignal,
  ): AsyncGenerator<Uint8Array, void, void> {
    if (signal.aborted) return;
    use.isRead = true;
    const source = this.#source;
    if (++this.#running === 1) source.reportHeaders?.(true);
    try {
      const reader = new TapReader(elementAt(source.rings, use.tap));
      const context = source.context();
      const wanted = resolveSelection(selection, context);
      reader.discard();
      setTapFilter(source.control, use.tap, wanted);
      yield encodeContext(context);
      const flow = new RecordFlow(source, use.tap, reader, context, wanted.peer, new LinkWatch(this.#linkTo));
      while (!signal.aborted && !source.isClosed) {
        const messages = flow.next();
        if (messages.length > 0) yield messages;
        else await sleep(POLL_MS, undefined, { signal }).catch(() => {});
      }
      // A worker may still write its current batch.
      setTapFilter(source.control, use.tap, undefined);
      await sleep(DRAIN_MS);
      for (let rest = flow.next(); rest.length > 0; rest = flow.next()) yield rest;
    } finally {
      this.#release(use);
    }
  }
}

/** A tap that a capture has. */
interface TapUse {
  readonly tap: number;
  isRead: boolean;
  isFree: boolean;
}

/** Asks the kernel for the links to peers, at most once in LINK_MS for each. */
class LinkWatch {
  readonly #linkTo: LinkLookup;
  readonly #known = new Map<
    string,
    { readonly until: number; readonly validMs: number; readonly text: string }
  >();
  #now = 0;

  constructor(linkTo: LinkLookup) {
    this.#linkTo = linkTo;
  }

  /** Notes the time: once per visit of the rings. */
  tick(): void {
    this.#now = performance.now();
  }

  /** The link to an address if it is new or has changed. */
  changed(address: string): OuterLink | undefined {
    const known = this.#known.get(address);
    if (known && this.#now < known.until) return undefined;
    const link = this.#linkTo(address);
    const text = JSON.stringify(link ?? null);
    const isNew = text !== (known?.text ?? 'null');
    // The kernel may still be asking for the MAC: the next visits look again, less and less often, as it may not get one.
    const isAsking = link?.sourceMac !== undefined && link.destinationMac === undefined;
    const again = isNew ? POLL_MS : Math.min(LINK_MS, 2 * (known?.validMs ?? POLL_MS));
    const validMs = isAsking ? again : LINK_MS;
    this.#known.set(address, { until: this.#now + validMs, validMs, text });
    return isNew ? link : undefined;
  }
}

/** What a tap's rings give, as messages: changes of the peers, then the records that were made with them, then losses. */
class RecordFlow {
  readonly #source: CaptureSource;
  readonly #tap: number;
  readonly #reader: TapReader;
  readonly #history: PeerHistory;
  readonly #queue = new RecordQueue();
  /** The peer that is wanted: its name, as its slot may pass to another. */
  readonly #wanted: string | undefined;
  readonly #links: LinkWatch;

  constructor(
    source: CaptureSource,
    tap: number,
    reader: TapReader,
    context: CaptureContext,
    slot: number | undefined,
    links: LinkWatch,
  ) {
    this.#source = source;
    this.#tap = tap;
    this.#reader = reader;
    this.#history = new PeerHistory(context);
    this.#links = links;
    this.#wanted = slot === undefined ? undefined : context.peers[slot]?.id;
  }

  /** The next messages, none when there is nothing to tell. */
  next(): Uint8Array {
    const queue = this.#queue;
    // The peers change in this thread only: no worker has seen a change that is not in the list.
    for (const change of this.#source.changesAfter(this.#history.generation)) {
      this.#history.apply(change);
      queue.addMessage(encodePeerChange(change));
      if (this.#wanted !== undefined) this.#follow(this.#wanted, change);
    }
    this.#links.tick();
    const records = this.#reader.visit(this.#add);
    if (records === 0) this.#reader.visitLosses(queue.addLosses);
    return queue.take();
  }

  /** A peer that comes back, or moves, keeps being captured; another one in its slot is not. */
  #follow(id: string, { slots }: PeerChange): void {
    const { control } = this.#source;
    const old = slots.some(({ slot, peer }) => peer?.id !== id && slot === tapPeer(control, this.#tap));
    const now = slots.find(({ peer }) => peer?.id === id);
    if (now) setTapPeer(control, this.#tap, now.slot);
    else if (old) setTapPeer(control, this.#tap, NO_SLOT);
  }

  readonly #add: RecordVisitor = (worker, view, at, size, kind, lost) => {
    const peer = recordPeer(view, at, this.#history);
    if (this.#wanted !== undefined && peer?.id !== this.#wanted) {
      if (lost.all > 0) this.#queue.addLosses(worker, kind, lost);
      return;
    }
    const link = kind === KIND_EGRESS && peer ? this.#links.changed(peer.address) : undefined;
    if (link) this.#queue.addMessage(encodeOuterLink(link));
    this.#queue.add(worker, view, at, size, kind, lost);
  };
}
