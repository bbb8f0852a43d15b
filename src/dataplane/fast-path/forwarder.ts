import type { Batch } from '../descriptor/descriptor.ts';
import type { Ring } from '../descriptor/ring.ts';
import { verdictMask } from '../descriptor/verdict-masks.ts';
import { OFFLOAD_PROOF } from '../descriptor/verdicts.ts';
import type { DatagramPort, FrameDevice } from '../io/interfaces.ts';
import type { SlowPath } from '../slow-path/slow-path.ts';
import { beginRead, endRead, readGeneration, type TablesReader } from '../tables/tables.ts';
import { accountBatch } from './account.ts';
import { classifyEgress, type EgressConfig } from './classify-egress.ts';
import { classifyIngress, type IngressConfig } from './classify-ingress.ts';
import { keepProofMessages } from './proof-messages.ts';

/*
 * How frames travel. One call carries one batch through these stations, in a worker thread (`worker.ts`), which has one
 * direction of a queue or both and blocks in the kernel while there is nothing to do:
 *
 *              egress: device to underlay                    ingress: underlay to device
 *   1 read       frames and GSO packets from the device        datagrams from the underlay
 *   2 classify   a verdict, a peer and a socket per frame      a verdict per datagram: peer, VNI, source, inner packet
 *   3 slow path  ICMP errors, ARP and ND replies, replication  none
 *   4 send       segmented, as datagrams                       coalesced into GSO packets, to the device
 *   5 count      frames and bytes by verdict and by peer       the same
 *   6 tap        copies for captures, while one is on          the same; headers of lost frames for the flight recorder;
 *                                                              proof messages for the agent
 *
 * All tables that one batch uses are of one generation.
 */

/** Sees each batch, for captures and the flight recorder (`tap/tap.ts`). */
export interface BatchTap {
  /** Bit n: batches with verdict n go to `onLost`. */
  readonly lost: number;
  /** The batch has been read. @returns false when no capture runs: then nothing else is called for this batch */
  onRead(): boolean;
  /** The frames go to be sent or written. @param generation of the tables that they were classified with */
  onDecided(generation: number): void;
  /** The verdicts of the descriptors 0..count-1 are final and the bytes are still in the slab. */
  onDone(count: number): void;
  /**
   * As `onDone`, for a batch that has a verdict of `lost`.
   * @param generation of the tables
   * @param isTapped what `onRead` returned
   */
  onLost(count: number, generation: number, isTapped: boolean): void;
}

/** For a forwarder that nothing captures. */
export const NO_TAP: BatchTap = {
  lost: 0,
  onRead: () => false,
  onDecided: () => {},
  onDone: () => {},
  onLost: () => {},
};

/** What the forwarder uses for one direction of one queue. */
export interface ForwardingContext<Config> {
  readonly device: FrameDevice;
  readonly port: DatagramPort;
  readonly batch: Batch;
  /** Replaced between two batches when the tables grow; so are the counters. */
  reader: TablesReader;
  readonly config: Config;
  /** This worker's counters. */
  counters: Float64Array;
  readonly tap: BatchTap;
}

export interface Egress extends ForwardingContext<EgressConfig> {
  readonly slowPath: Pick<SlowPath, 'handle' | 'reportSendErrors'>;
}

export interface Ingress extends ForwardingContext<IngressConfig> {
  /** Gets the proof messages of peers, for the control thread; undefined: they are discarded. */
  readonly proofs?: Ring | undefined;
}

const PROOF_MASK = verdictMask([OFFLOAD_PROOF]);

/**
 * Carries one batch from the device to the underlay. Does not wait for frames.
 * @returns frames handled, 0 when there is none, -errno when the device failed
 * @hot
 */
export function forwardEgressBatch(egress: Egress): number {
  const { device, port, batch, tap, slowPath } = egress;
  // 1 read
  const count = device.readBatch(batch);
  if (count <= 0) return count;
  const isTapped = tap.onRead();
  const tables = beginRead(egress.reader);
  // 2 classify
  const unusual = classifyEgress(batch, count, tables, egress.config);
  // 3 slow path
  if (unusual > 0) slowPath.handle(batch, count, tables);
  // 4 send
  if (isTapped) tap.onDecided(readGeneration(egress.reader));
  const refused = port.sendBatch(batch, count, tables.peers);
  if (refused > 0) slowPath.reportSendErrors(batch, count, tables);
  // 5 count
  const verdicts = accountBatch(egress.counters, batch, count, 1);
  // 6 tap
  if ((verdicts & tap.lost) !== 0) tap.onLost(count, readGeneration(egress.reader), isTapped);
  endRead(egress.reader);
  if (isTapped) tap.onDone(count);
  return count;
}

/**
 * Carries one batch from the underlay to the device. Does not wait for datagrams.
 * @returns datagrams handled, 0 when there is none, -errno when the socket failed
 * @hot
 */
export function forwardIngressBatch(ingress: Ingress): number {
  const { device, port, batch, tap } = ingress;
  // 1 read
  const count = port.receiveBatch(batch);
  if (count <= 0) return count;
  const isTapped = tap.onRead();
  const tables = beginRead(ingress.reader);
  // 2 classify
  classifyIngress(batch, count, port.sources, tables, ingress.config);
  // 4 send
  if (isTapped) tap.onDecided(readGeneration(ingress.reader));
  device.writeBatch(batch, count);
  // 5 count
  const verdicts = accountBatch(ingress.counters, batch, count, 0);
  // 6 tap
  if ((verdicts & tap.lost) !== 0) tap.onLost(count, readGeneration(ingress.reader), isTapped);
  if ((verdicts & PROOF_MASK) !== 0 && ingress.proofs) keepProofMessages(ingress.proofs, batch, count);
  endRead(ingress.reader);
  if (isTapped) tap.onDone(count);
  return count;
}
