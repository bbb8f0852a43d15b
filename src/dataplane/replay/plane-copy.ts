import type { Mode } from '../../../encap/encap.ts';
import type { Peer } from '../descriptor/peer.ts';
import { DryRunClassifier } from '../fast-path/dry-run-classifier.ts';
import { type ForwarderOptions, forwarderConfig } from '../forwarder-config.ts';
import { TablesWriter } from '../tables/writer.ts';

/** What the decisions of a data plane depend on: a copy that is made of it decides alike. */
export interface PlaneRecord extends ForwarderOptions {
  /** Own underlay address. */
  readonly address: string;
  readonly port: number;
  readonly underlayMtu: number;
  readonly copyDscp?: boolean | undefined;
  /** Source ports by index of the sending socket. */
  readonly sourcePorts: readonly number[];
  /** Inner checksums are left to peers that complete them. */
  readonly leavesChecksums: boolean;
  /** With the path MTUs that were learnt. */
  readonly peers: readonly Peer[];
}

/** The decisions of a data plane, and what the numbers in them mean. */
export interface PlaneDecisions {
  readonly leavesChecksums: boolean;
  classifier(): Pick<DryRunClassifier, 'egress' | 'ingress'>;
  context(): {
    readonly mode: Mode;
    readonly vni: number;
    readonly addresses: readonly string[];
    readonly port: number;
    readonly sourcePorts: readonly number[];
    /** By slot. */
    readonly peers: readonly (Pick<Peer, 'id' | 'address'> & { readonly port: number })[];
  };
}

/** @param plane that runs with the options */
export function planeRecord(
  options: Omit<PlaneRecord, 'sourcePorts' | 'leavesChecksums' | 'peers'>,
  plane: {
    readonly taps: { context(): { readonly sourcePorts: readonly number[] } };
    readonly offloads: { readonly csum: string };
    readonly peers: readonly Peer[];
  },
): PlaneRecord {
  const { mode, vni, mac, mtu, underlayMtu, address, port } = options;
  const { flood, copyDscp, sourceCheck, ownSubnets, acceptPartialChecksums } = options;
  return {
    ...{ mode, vni, mac, mtu, underlayMtu, address, port, flood, copyDscp, sourceCheck, ownSubnets },
    acceptPartialChecksums,
    sourcePorts: plane.taps.context().sourcePorts,
    leavesChecksums: plane.offloads.csum === 'on',
    peers: plane.peers,
  };
}

/** Tables of the peers of a configuration, made once, for readers in this thread. @throws RipstopError ECONFIG */
export function tablesOf(
  options: ForwarderOptions & Pick<PlaneRecord, 'port' | 'underlayMtu' | 'copyDscp' | 'peers'>,
): TablesWriter {
  const { peers } = options;
  const most = Math.max(16, peers.length);
  const prefixes = Math.max(16, peers.reduce((sum, peer) => sum + peer.subnets.length, 0) * 2);
  const writer = new TablesWriter({ peers: most, macs: most, prefixes, readers: 2 }, options);
  writer.change({ set: peers, removed: [] });
  return writer;
}

/** A data plane of another machine, without devices, threads and the addon. @throws RipstopError ECONFIG */
export function planeOf(record: PlaneRecord): PlaneDecisions {
  const { mode, vni, address, port, sourcePorts, leavesChecksums } = record;
  const writer = tablesOf(record);
  const config = forwarderConfig(record, Math.max(0, sourcePorts.length - 1));
  const peers: { id: string; address: string; port: number }[] = [];
  for (const [id, slot] of writer.slots.entries()) {
    const peer = writer.peer(id);
    if (peer) peers[slot] = { id, address: peer.address, port: peer.port ?? port };
  }
  return {
    leavesChecksums,
    classifier: () => new DryRunClassifier(writer.memory, config),
    context: () => ({ mode, vni, addresses: [address], port, sourcePorts, peers }),
  };
}
