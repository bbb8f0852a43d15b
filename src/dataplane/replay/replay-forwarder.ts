import type { Prefix } from '../../ip/prefix.ts';
import { counterBlock, createCounters, openCounters } from '../descriptor/counters.ts';
import { createBatch, FRAME_MAX } from '../descriptor/descriptor.ts';
import type { Peer } from '../descriptor/peer.ts';
import { forwardEgressBatch, forwardIngressBatch, NO_TAP } from '../fast-path/forwarder.ts';
import { type ForwarderOptions, forwarderConfig } from '../forwarder-config.ts';
import type { DatagramPort, FrameDevice } from '../io/interfaces.ts';
import { SlowPath, type SlowPathIo } from '../slow-path/slow-path.ts';
import { openReader } from '../tables/tables.ts';
import { tablesOf } from './plane-copy.ts';

/** Frames of one batch. */
export const REPLAY_BATCH = 64;

/** Configuration of a forwarder without kernel; the names are those of `DataPlaneOptions`. */
interface ReplayForwarderOptions extends Omit<ForwarderOptions, 'acceptPartialChecksums' | 'ownSubnets'> {
  readonly port: number;
  readonly underlayMtu: number;
  readonly copyDscp?: boolean | undefined;
  readonly peers: readonly Peer[];
  /** Own pod subnets. */
  readonly subnets: readonly Prefix[];
}

/** Device and port as test doubles, and where ICMP errors go. */
interface ReplayForwarderIo extends FrameDevice, DatagramPort {
  readonly sendIcmp: SlowPathIo['sendIcmp'];
}

/**
 * The forwarder of `forwarder.ts` in this thread, over test doubles: no device, socket, addon or privilege, and a clock
 * that the caller sets. For replay and tests.
 * @throws RipstopError ECONFIG
 */
export function openReplayForwarder(options: ReplayForwarderOptions, io: ReplayForwarderIo) {
  const forwarder = { ...options, ownSubnets: options.subnets, acceptPartialChecksums: true };
  const writer = tablesOf(forwarder);
  const counters = openCounters(createCounters(2, writer.slots.capacity));
  const config = forwarderConfig(forwarder, options.mode === 'vxlan' ? 16 : 1);
  const egressBatch = createBatch(REPLAY_BATCH, REPLAY_BATCH * (FRAME_MAX + 256));
  const ingressBatch = createBatch(REPLAY_BATCH, REPLAY_BATCH * (FRAME_MAX + 256));
  let clock = 0;
  const slowPath = new SlowPath({
    device: io,
    port: io,
    batch: egressBatch,
    flood: config.egress.flood,
    sendIcmp: answer => io.sendIcmp(answer),
    reportTooBig: () => {},
    nowMs: () => clock,
  });
  const egress = {
    device: io,
    port: io,
    batch: egressBatch,
    reader: openReader(writer.memory, 0),
    config: config.egress,
    slowPath,
    counters: counterBlock(counters, 0),
    tap: NO_TAP,
  };
  const ingress = {
    device: io,
    port: io,
    batch: ingressBatch,
    reader: openReader(writer.memory, 1),
    config: config.ingress,
    counters: counterBlock(counters, 1),
    tap: NO_TAP,
  };
  return {
    egressBatch,
    ingressBatch,
    turn: (direction: 'egress' | 'ingress') =>
      direction === 'egress' ? forwardEgressBatch(egress) : forwardIngressBatch(ingress),
    peerId: (slot: number) => [...writer.slots.entries()].find(([, taken]) => taken === slot)?.[0],
    setTime(nowMs: number) {
      clock = nowMs;
    },
  };
}
