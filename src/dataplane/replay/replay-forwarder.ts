import type { Mode } from '../../../encap/encap.ts';
import { createCounters, openCounters } from '../descriptor/counters.ts';
import { createBatch, FRAME_MAX } from '../descriptor/descriptor.ts';
import type { Peer } from '../descriptor/peer.ts';
import { FORWARD, TOO_BIG, VERDICTS } from '../descriptor/verdicts.ts';
import { egressTurn, ingressTurn } from '../fast-path/forwarder.ts';
import {
  type DatagramPort,
  type FrameDevice,
  SOURCE_ADDRESS,
  SOURCE_PORT,
  SOURCE_STRIDE,
} from '../io/interfaces.ts';
import { type ExceptionEnds, Exceptions } from '../slow-path/slow-path.ts';
import { packMac } from '../tables/mac.ts';
import { openReader } from '../tables/tables.ts';
import { TablesWriter } from '../tables/writer.ts';

/** The verdicts by number, for whoever shows a result. */
export const OFFLINE_VERDICTS = VERDICTS;

/** Numbers that doubles of the two ends need. */
export const OFFLINE_NUMBERS = {
  forward: FORWARD,
  tooBig: TOO_BIG,
  sourceStride: SOURCE_STRIDE,
  sourceAddress: SOURCE_ADDRESS,
  sourcePort: SOURCE_PORT,
};

/** Frames of one batch. */
export const OFFLINE_FRAMES = 64;

/** What a forwarder without kernel is told; the names are those of `DataPlaneOptions`. */
export interface OfflineOptions {
  readonly mode: Mode;
  readonly port: number;
  readonly vni: number;
  readonly mac?: string | undefined;
  readonly mtu: number;
  readonly underlayMtu: number;
  readonly flood: boolean;
  readonly strictSource: boolean;
  readonly peers: readonly Peer[];
}

/** The two ends, as doubles, and where ICMP answers go. */
export interface OfflineEnds extends FrameDevice, DatagramPort {
  readonly sendIcmp: ExceptionEnds['sendIcmp'];
}

/**
 * The forwarder of `forwarder.ts` in this thread, over doubles: no device, no socket, no addon, no privilege, and a
 * clock that is set by hand. For replay and tests.
 * @throws RipstopError ECONFIG
 */
export function openOffline(options: OfflineOptions, ends: OfflineEnds) {
  const { mode, vni, mtu, peers } = options;
  const most = Math.max(16, peers.length);
  const prefixes = Math.max(16, peers.reduce((sum, peer) => sum + peer.subnets.length, 0) * 2);
  const writer = new TablesWriter({ peers: most, macs: most, prefixes, readers: 2 }, options);
  writer.change({ set: peers, removed: [] });

  const counters = openCounters(createCounters(2, most));
  const ethernet = mode === 'vxlan' ? 1 : 0;
  const flood = options.flood ? 1 : 0;
  const mac = ethernet === 1 ? packMac(options.mac ?? '', 'mac') : { hi: 0, lo: 0 };
  const egressBatch = createBatch(OFFLINE_FRAMES, OFFLINE_FRAMES * (FRAME_MAX + 256));
  const ingressBatch = createBatch(OFFLINE_FRAMES, OFFLINE_FRAMES * (FRAME_MAX + 256));
  let clock = 0;
  const exceptions = new Exceptions({
    device: ends,
    port: ends,
    batch: egressBatch,
    flood,
    sendIcmp: answer => ends.sendIcmp(answer),
    reportTooBig: () => {},
    nowMs: () => clock,
  });
  const egress = {
    device: ends,
    port: ends,
    batch: egressBatch,
    reader: openReader(writer.memory, 0),
    rules: { ethernet, flood, flowSockets: ethernet === 1 ? 16 : 1 },
    exceptions,
    counters: counters.blocks[0]!,
  };
  const ingress = {
    device: ends,
    port: ends,
    batch: ingressBatch,
    reader: openReader(writer.memory, 1),
    rules: {
      ethernet,
      vni,
      macHi16: mac.hi,
      macLo32: mac.lo,
      flood,
      strict: options.strictSource ? 1 : 0,
      mtu,
      superframes: 1,
    },
    counters: counters.blocks[1]!,
  };
  return {
    egressBatch,
    ingressBatch,
    turn: (direction: 'egress' | 'ingress') =>
      direction === 'egress' ? egressTurn(egress, 0) : ingressTurn(ingress, 0),
    peerId: (slot: number) => [...writer.slots.entries()].find(([, taken]) => taken === slot)?.[0],
    setTime(nowMs: number) {
      clock = nowMs;
    },
  };
}
