import type { Mode } from '../../../encap/encap.ts';
import { FORMATS } from '../../../encap/formats.ts';
import { createLog } from '../../../src/base/log.ts';
import { createCounters, openCounters } from '../../../src/dataplane/descriptor/counters.ts';
import { createBatch } from '../../../src/dataplane/descriptor/descriptor.ts';
import type { Peer } from '../../../src/dataplane/descriptor/peer.ts';
import { type Egress, type Ingress, NO_TAP } from '../../../src/dataplane/fast-path/forwarder.ts';
import type { IcmpError } from '../../../src/dataplane/slow-path/icmp-builder.ts';
import { SlowPath } from '../../../src/dataplane/slow-path/slow-path.ts';
import { packMac } from '../../../src/dataplane/tables/mac.ts';
import { openReader } from '../../../src/dataplane/tables/tables.ts';
import { TablesWriter } from '../../../src/dataplane/tables/writer.ts';
import { mappedBytesOf, requireAddress } from '../../../src/ip/address.ts';
import { requirePrefix } from '../../../src/ip/prefix.ts';
import { LoopbackDevice, type LoopbackFrame, LoopbackPort } from './loopback.ts';

/*
 * Two forwarders in one thread without a kernel: frames of node 1 go in, frames for node 2 come out.
 */

export interface LoopbackOptions {
  readonly mode?: Mode;
  readonly peers?: readonly Peer[];
  readonly flood?: boolean;
  readonly mtu?: number;
  readonly strict?: boolean;
  /** Frames that the first device hands over in all; default: each once. */
  readonly total?: number;
  readonly keep?: (frame: Uint8Array) => void;
}

export interface LoopbackForwarders {
  readonly egress: Egress;
  readonly ingress: Ingress;
  readonly writer: TablesWriter;
  readonly device: LoopbackDevice;
  readonly delivered: LoopbackDevice;
  /** ICMP errors of the slow path, and what it reported. */
  readonly icmp: IcmpError[];
  readonly tooBig: number[];
  readonly counters: SharedArrayBuffer;
}

export const NODE1: Peer = {
  id: 'node1',
  address: '192.0.2.1',
  mac: '02:00:00:00:00:01',
  subnets: ['10.244.1.0/24', 'fd00:1::/64'].map(requirePrefix),
};
export const NODE2: Peer = {
  id: 'node2',
  address: '192.0.2.2',
  mac: '02:00:00:00:00:02',
  subnets: ['10.244.2.0/24', 'fd00:2::/64'].map(requirePrefix),
};
export const VNI = 1;

export function loopbackForwarders(
  frames: readonly LoopbackFrame[],
  options: LoopbackOptions = {},
): LoopbackForwarders {
  const mode = options.mode ?? 'vxlan';
  const mtu = options.mtu ?? 1450;
  const ethernet = mode === 'vxlan' ? 1 : 0;
  const flood = options.flood ? 1 : 0;
  const defaults = { mode, vni: VNI, port: FORMATS[mode].port, underlayMtu: 1500, mtu };
  const writer = new TablesWriter({ peers: 64, macs: 64, prefixes: 128, readers: 2 }, defaults);
  writer.change({ set: options.peers ?? [NODE1, NODE2], removed: [] });
  const counters = createCounters(2, 64);
  const blocks = openCounters(counters).blocks;
  const [near, far] = LoopbackPort.pair(
    mappedBytesOf(requireAddress(NODE1.address)),
    mappedBytesOf(requireAddress(NODE2.address)),
    defaults.port,
  );
  const device = new LoopbackDevice(frames, options.total);
  const delivered = new LoopbackDevice([], 0, options.keep);
  const batch = createBatch(64, 1 << 20);
  const icmp: IcmpError[] = [];
  const tooBig: number[] = [];
  const slowPath = new SlowPath({
    device,
    port: near,
    batch,
    flood,
    sendIcmp: answer => icmp.push(answer),
    reportTooBig: slot => tooBig.push(slot),
    nowMs: () => performance.now(),
  });
  const own = packMac(NODE2.mac!, 'mac');
  return {
    egress: {
      device,
      port: near,
      batch,
      reader: openReader(writer.memory, 0),
      config: { ethernet, flood, flowSockets: 16 },
      slowPath,
      counters: blocks[0]!,
      tap: NO_TAP,
    },
    ingress: {
      device: delivered,
      port: far,
      batch: createBatch(64, 1 << 20),
      reader: openReader(writer.memory, 1),
      config: {
        ethernet,
        vni: VNI,
        macHi16: own.hi,
        macLo32: own.lo,
        flood,
        sourceCheck: (options.strict ?? true) ? 1 : 0,
        mtu,
        gsoPackets: 0,
      },
      counters: blocks[1]!,
      tap: NO_TAP,
    },
    writer,
    device,
    delivered,
    icmp,
    tooBig,
    counters,
  };
}

/** For tests that need a log and say nothing. */
export const SILENT = createLog('silent');
