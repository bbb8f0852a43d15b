import type { Batch } from '../descriptor/descriptor.ts';
import type { DatagramPort, FrameDevice } from '../io/interfaces.ts';
import type { Exceptions } from '../slow-path/slow-path.ts';
import { beginRead, endRead, type TablesReader } from '../tables/tables.ts';
import { accountBatch } from './account.ts';
import { type EgressRules, judgeEgress } from './classify-egress.ts';
import { type IngressRules, judgeIngress } from './classify-ingress.ts';

/*
 * The life of a frame.
 *
 *   egress    the device hands over a batch of frames, superframes among them; each gets a verdict from the tables of
 *             this generation; what is no plain FORWARD is answered, copied or dropped; the rest leaves, segmented,
 *             as datagrams; everything is counted.
 *   ingress   the underlay hands over a batch of datagrams; the gate judges each; the frames inside go to the device,
 *             merged into superframes; everything is counted.
 *
 * A turn is one batch. It runs in a worker thread of its own, blocked in the kernel while there is nothing to do.
 */

/** One direction of the data plane on one queue: two ends, the memory between them, and what to go by. */
export interface Direction<Rules> {
  readonly device: FrameDevice;
  readonly port: DatagramPort;
  readonly batch: Batch;
  /** Changes between two turns, when the tables grow; so do the counters. */
  reader: TablesReader;
  readonly rules: Rules;
  /** This worker's counters. */
  counters: Float64Array;
}

export interface Egress extends Direction<EgressRules> {
  /** Frames that need more than a verdict: answers, copies, refusals. Cold. */
  readonly exceptions: Exceptions;
}

export type Ingress = Direction<IngressRules>;

/**
 * One batch from the device to the underlay; waits for it at most `timeoutMs`.
 * @returns frames handled, 0 when none came, -errno when the device failed
 * @hot
 */
export function egressTurn(egress: Egress, timeoutMs: number): number {
  const count = egress.device.readBatch(egress.batch, timeoutMs);
  if (count <= 0) return count;
  const tables = beginRead(egress.reader);
  const unusual = judgeEgress(egress.batch, count, tables, egress.rules);
  if (unusual > 0) egress.exceptions.settle(egress.batch, count, tables);
  const refused = egress.port.sendBatch(egress.batch, count, tables.peers);
  if (refused > 0) egress.exceptions.review(egress.batch, count, tables);
  accountBatch(egress.counters, egress.batch, count, 1);
  endRead(egress.reader);
  return count;
}

/**
 * One batch from the underlay to the device; waits for it at most `timeoutMs`.
 * @returns datagrams handled, 0 when none came, -errno when the socket failed
 * @hot
 */
export function ingressTurn(ingress: Ingress, timeoutMs: number): number {
  const count = ingress.port.receiveBatch(ingress.batch, timeoutMs);
  if (count <= 0) return count;
  const tables = beginRead(ingress.reader);
  judgeIngress(ingress.batch, count, ingress.port.sources, tables, ingress.rules);
  ingress.device.writeBatch(ingress.batch, count);
  accountBatch(ingress.counters, ingress.batch, count, 0);
  endRead(ingress.reader);
  return count;
}
