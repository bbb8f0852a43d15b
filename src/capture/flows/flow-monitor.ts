import { encapsulationOf } from '../context.ts';
import * as point from '../point.ts';
import { TapReader } from '../record.ts';
import type { CaptureSource } from '../session.ts';
import { FlowFields, INGRESS } from './flow-fields.ts';
import { type FlowReport, flowRows, peerRows, rateSeconds } from './flow-report.ts';
import { DEFAULT_CAPACITY, type FlowEnded, FlowTable } from './flow-table.ts';

/** Enough for VXLAN, Ethernet with a tag, IPv6 and TCP with its options. */
const SNAP_LENGTH = 128;
/** Between two looks at the rings, milliseconds. */
const LOOK_MS = 10;
/** Frames taken at one look: a flood costs the control thread a third of its time, what is more is overlooked. */
const FRAMES_A_LOOK = 4096;
/** Between two marks of the rates, milliseconds. */
const TICK_MS = 1000;
/** How long the table stays on after somebody asked, milliseconds. */
export const HOLD_MS = 15_000;

/** What one worker handed over and could not hand over; the ratio is that of the last tick. */
interface Share {
  seen: number;
  lost: number;
  weight: number;
}

/**
 * The flow table of one data plane. Off, it costs nothing: the workers copy no frame, and there is no table. It is
 * turned on by the first who asks and off when nobody has asked for a while, or is kept on. Runs on the control thread;
 * what it cannot look at in time the workers count and leave out, and the counts are scaled up by that.
 */
export class FlowMonitor {
  readonly #source: CaptureSource;
  readonly #capacity: number;
  readonly #ended: FlowEnded | undefined;
  #run: Running | undefined;
  #askedAt = 0;
  #isKept = false;

  /** @param ended hears of each flow that is over */
  constructor(source: CaptureSource, capacity = DEFAULT_CAPACITY, ended?: FlowEnded) {
    this.#source = source;
    this.#capacity = capacity;
    this.#ended = ended;
  }

  get isOn(): boolean {
    return this.#run !== undefined;
  }

  /** Turns the table on until `close`, or off again once nobody asks any more. */
  keep(isKept: boolean): void {
    this.#isKept = isKept;
    if (isKept) this.#on();
  }

  /** What the table says now. The first call turns it on, and tells nothing yet. @param device for the rows */
  report(device: string): FlowReport {
    this.#askedAt = Date.now();
    return this.#on().report(device);
  }

  /** The table while it is on. */
  get table(): FlowTable | undefined {
    return this.#run?.table;
  }

  close(): void {
    this.#run?.stop();
    this.#run = undefined;
  }

  #on(): Running {
    if (this.#run) return this.#run;
    this.#run = new Running(this.#source, this.#capacity, this.#ended, () => {
      const isWanted = this.#isKept || Date.now() - this.#askedAt < HOLD_MS;
      if (!isWanted || this.#source.isOver) this.close();
    });
    return this.#run;
  }
}

/** A table that is on. */
class Running {
  readonly table: FlowTable;
  readonly #source: CaptureSource;
  readonly #since = Date.now();
  readonly #reader: TapReader;
  readonly #fields = new FlowFields();
  readonly #fate = { peer: -1, dropVerdict: -1, timeMs: 0, weight: 1, wholeSince: 0 };
  readonly #shares: Share[];
  readonly #link: 'ethernet' | 'ip';
  readonly #headerBytes: number;
  readonly #isDrop: boolean[];
  readonly #timer: NodeJS.Timeout;
  #seen = 0;
  #lost = 0;
  #sampled = 1;
  #tickAt: number;

  constructor(source: CaptureSource, capacity: number, ended: FlowEnded | undefined, ticked: () => void) {
    this.#source = source;
    this.table = new FlowTable(this.#since, capacity, ended);
    const context = source.context();
    const { inner, headerBytes } = encapsulationOf(context);
    this.#link = inner;
    this.#headerBytes = headerBytes;
    this.#isDrop = context.verdicts.map(verdict => verdict.drop);
    const rings = source.rings[point.FLOW_TAP]!;
    this.#shares = rings.map(() => ({ seen: 0, lost: 0, weight: 1 }));
    this.#reader = new TapReader(rings);
    this.#reader.discard();
    this.#tickAt = this.#since + TICK_MS;
    point.steer(source.control, point.FLOW_TAP, {
      points: point.EGRESS_INNER | point.INGRESS_INNER | point.DROP,
      snapLength: SNAP_LENGTH,
    });
    this.#timer = setInterval(() => {
      this.#look();
      if (Date.now() < this.#tickAt) return;
      this.#tick();
      ticked();
    }, LOOK_MS);
    this.#timer.unref();
  }

  stop(): void {
    clearInterval(this.#timer);
    point.steer(this.#source.control, point.FLOW_TAP, undefined);
  }

  report(device: string): FlowReport {
    this.#look();
    const { table } = this;
    const context = this.#source.context();
    const now = Date.now();
    return {
      since: new Date(this.#since).toISOString(),
      rateSeconds: rateSeconds(table, now),
      frames: {
        seen: this.#shares.reduce((sum, share) => sum + share.seen, this.#seen),
        overlooked: this.#shares.reduce((sum, share) => sum + share.lost, this.#lost),
        other: table.otherFrames,
      },
      sampled: this.#sampled,
      table: { capacity: table.capacity, flows: table.count, ousted: { ...table.ousted } },
      flows: flowRows(table, context, device, now),
      peers: peerRows(table, context, device, now),
    };
  }

  #look(): void {
    this.#reader.visit(this.#visit, FRAMES_A_LOOK);
  }

  readonly #visit = (
    worker: number,
    view: DataView,
    at: number,
    size: number,
    kind: number,
    lost: number,
  ): void => {
    const word = (index: number) => view.getInt32(at + index * 4, true);
    const share = this.#shares[worker]!;
    const fate = this.#fate;
    share.seen++;
    share.lost += lost;
    fate.timeMs = (word(point.RECORD_SECONDS) >>> 0) * 1000 + word(point.RECORD_NANOSECONDS) / 1e6;
    if (lost > 0) fate.wholeSince = fate.timeMs;
    const start = point.HEADER_BYTES + (word(point.RECORD_SLAB_OFFSET) & 3);
    const front = kind === point.KIND_INGRESS ? this.#headerBytes : 0;
    const captured = Math.min(word(point.RECORD_CAPTURED), size - start) - front;
    const length = word(point.RECORD_LENGTH) - front;
    const segment = word(point.RECORD_GSO_SIZE);
    const direction = kind === point.KIND_INGRESS ? INGRESS : kind;
    const isIp = this.#fields.read(
      view,
      at + start + front,
      captured,
      length,
      this.#link,
      segment,
      direction,
    );
    if (!isIp) {
      this.table.otherFrames++;
      return;
    }
    const verdict = word(point.RECORD_VERDICT);
    fate.peer = word(point.RECORD_PEER);
    fate.dropVerdict = this.#isDrop[verdict] ? verdict : -1;
    fate.weight = share.weight;
    this.table.add(this.#fields, fate);
  };

  #tick(): void {
    const now = Date.now();
    this.#tickAt = now + TICK_MS;
    let seen = 0;
    let lost = 0;
    for (const share of this.#shares) {
      seen += share.seen;
      lost += share.lost;
      share.weight = share.seen > 0 ? (share.seen + share.lost) / share.seen : 1;
      share.seen = share.lost = 0;
    }
    this.#seen += seen;
    this.#lost += lost;
    this.#sampled = seen + lost > 0 ? seen / (seen + lost) : 1;
    this.table.tick(now);
  }
}
