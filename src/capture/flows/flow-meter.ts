import { elementAt } from '../../base/at.ts';
import { contained } from '../../base/boundary.ts';
import * as point from '../../dataplane/tap/record-layout.ts';
import { FLOW_TAP, setTapFilter } from '../../dataplane/tap/tap-control.ts';
import type { CaptureSource } from '../live/capture-hub.ts';
import { encapsulationOf } from '../live/context.ts';
import { PeerHistory } from '../live/peer-history.ts';
import { type RecordVisitor, recordPeer, TapReader } from '../live/record.ts';
import type { FlowEntry } from './flow-entry.ts';
import { FlowFields, INGRESS } from './flow-fields.ts';
import { ACTIVE_TIMEOUT, type FlowRecord, logFlow } from './flow-log.ts';
import { FlowPeers } from './flow-peers.ts';
import { type FlowNames, type FlowReport, flowRows, peerRows, rateSeconds } from './flow-report.ts';
import { FlowTable } from './flow-table.ts';

/** Enough for VXLAN, Ethernet with a tag, IPv6 and TCP with its options. */
const SNAP_LENGTH = 128;
/** Polling interval of the rings, milliseconds. */
const POLL_MS = 10;
/** Maximum number of frames per poll, which limits the cost to a tenth of a core. Further frames are not sampled. */
const FRAMES_PER_POLL = 2048;
/** Polls that read what was there at a moment; in a flood the rings never become empty. */
const DRAIN_POLLS = 16;
/** Interval of the rates, milliseconds. */
const TICK_MS = 1000;
/** Interval of the log lines of a continuing flow, milliseconds. */
const LOG_MS = 60_000;
/** Maximum number of lines of the flow log per tick. */
const LINES_PER_TICK = 5000;

/** Frames of one worker that were sampled and lost; the weight is the ratio of the last tick. */
interface Share {
  seen: number;
  lost: number;
  weight: number;
}

/** Receives each line of the flow log. */
export type FlowFollower = (record: FlowRecord) => void;

/** The metering process: reads the rings of the flow tap, counts each frame in the table, and sends log lines to followers. */
export class FlowMeter {
  readonly table: FlowTable;
  readonly #source: CaptureSource;
  readonly #followers: ReadonlyMap<FlowFollower, unknown>;
  readonly #device: string;
  readonly #since = Date.now();
  readonly #reader: TapReader;
  readonly #fields = new FlowFields();
  readonly #fate = { peer: -1, dropVerdict: -1, timeMs: 0, weight: 1, wholeSince: 0 };
  readonly #shares: Share[];
  readonly #link: 'ethernet' | 'ip';
  readonly #headerBytes: number;
  readonly #isDrop: boolean[];
  readonly #timer: NodeJS.Timeout;
  readonly #history: PeerHistory;
  readonly #peers = new FlowPeers();
  readonly #names: FlowNames;
  #linesLeft = LINES_PER_TICK;
  #unlogged = 0;
  #seen = 0;
  #lost = 0;
  #sampled = 1;
  #tickAt: number;

  /** @param ticked is called once a second */
  constructor(
    source: CaptureSource,
    device: string,
    capacity: number,
    followers: ReadonlyMap<FlowFollower, unknown>,
    ticked: () => void,
  ) {
    this.#source = source;
    this.#device = device;
    this.#followers = followers;
    const context = source.context();
    this.#history = new PeerHistory(context);
    this.#names = { verdicts: context.verdicts, peers: this.#peers.known };
    this.table = new FlowTable(this.#since, capacity, (key, entry, reason) => this.#log(key, entry, reason));
    const { inner, headerBytes } = encapsulationOf(context);
    this.#link = inner;
    this.#headerBytes = headerBytes;
    this.#isDrop = context.verdicts.map(verdict => verdict.drop);
    const rings = elementAt(source.rings, FLOW_TAP);
    this.#shares = rings.map(() => ({ seen: 0, lost: 0, weight: 1 }));
    this.#reader = new TapReader(rings);
    this.#reader.discard();
    this.#tickAt = this.#since + TICK_MS;
    setTapFilter(source.control, FLOW_TAP, {
      points: point.EGRESS_INNER | point.INGRESS_INNER | point.DROP,
      snapLength: SNAP_LENGTH,
    });
    this.#timer = setInterval(() => {
      try {
        this.#poll();
        if (Date.now() < this.#tickAt) return;
        this.#tick();
        ticked();
      } catch (error) {
        contained('flows', error);
        // Otherwise the next poll would begin with the same broken record.
        this.#reader.discard();
      }
    }, POLL_MS);
    this.#timer.unref();
  }

  stop(): void {
    clearInterval(this.#timer);
    setTapFilter(this.#source.control, FLOW_TAP, undefined);
  }

  /** Counts what has passed, and retires the flows of these addresses: packets that come from now on begin new ones. */
  retire(addresses: readonly Int32Array[]): void {
    for (let polls = 0; polls < DRAIN_POLLS && this.#poll() > 0; polls++);
    for (const words of addresses) this.table.retire(words);
  }

  report(): FlowReport {
    this.#poll();
    const { table } = this;
    const now = Date.now();
    return {
      device: this.#device,
      since: new Date(this.#since).toISOString(),
      rateSeconds: rateSeconds(table, now),
      frames: {
        seen: this.#shares.reduce((sum, share) => sum + share.seen, this.#seen),
        unsampled: this.#shares.reduce((sum, share) => sum + share.lost, this.#lost),
        other: table.otherFrames,
      },
      sampled: this.#sampled,
      table: { capacity: table.capacity, flows: table.count, evicted: { ...table.evicted } },
      flows: flowRows(table, this.#names, this.#device, now),
      peers: peerRows(table, this.#names, this.#device, now),
    };
  }

  /** @returns frames that were read */
  #poll(): number {
    for (const change of this.#source.changesAfter(this.#history.generation)) this.#history.apply(change);
    const frames = this.#reader.visit(this.#visit, FRAMES_PER_POLL);
    if (frames > 0) return frames;
    this.#reader.visitLosses((worker, _kind, lost) => {
      elementAt(this.#shares, worker).lost += lost.all;
    });
    return 0;
  }

  readonly #visit: RecordVisitor = (worker, view, at, size, kind, lost) => {
    const word = (index: number) => view.getInt32(at + index * 4, true);
    const share = elementAt(this.#shares, worker);
    const fate = this.#fate;
    share.seen++;
    share.lost += lost.all;
    fate.timeMs = (word(point.RECORD_SECONDS) >>> 0) * 1000 + word(point.RECORD_NANOSECONDS) / 1e6;
    if (lost.all > 0) fate.wholeSince = fate.timeMs;
    const start = point.RECORD_HEADER_BYTES + (word(point.RECORD_LATENCY_AND_PADDING) & 3);
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
    fate.peer = this.#peers.numberOf(recordPeer(view, at, this.#history));
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
    this.#linesLeft = LINES_PER_TICK;
    this.table.tick(now);
    if (this.#followers.size === 0) return;
    this.table.each((key, entry) => {
      const isNew = entry.packets > entry.packetsLogged || entry.drops > entry.dropsLogged;
      if (isNew && now - entry.loggedUntil > LOG_MS) this.#log(key, entry, ACTIVE_TIMEOUT);
    });
  }

  #log(key: Int32Array, entry: FlowEntry, reason: number): void {
    if (this.#followers.size === 0) return;
    if (this.#linesLeft-- <= 0) {
      this.#unlogged++;
      return;
    }
    const record = logFlow(key, entry, reason, this.#names, this.#device, this.#sampled);
    const line = this.#unlogged > 0 ? { ...record, lostRecords: this.#unlogged } : record;
    this.#unlogged = 0;
    for (const follower of this.#followers.keys()) follower(line);
  }
}
