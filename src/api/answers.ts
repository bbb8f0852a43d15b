import { peerHealth } from '../agent/probe/probe-window.ts';
import {
  boolean,
  listOf,
  mapOf,
  nullable,
  number,
  oneOf,
  record,
  string,
  type ValueOf,
} from '../base/schema.ts';
import { flowOverview, flowPeerRow, flowRow } from '../capture/flows/flow-report.ts';
import { diagnosis } from '../diagnose/doctor/finding.ts';
import { dropStatus } from '../diagnose/drops.ts';

/*
 * The answers of the agent's socket: what the server writes, and how the client reads it. Bytes, milliseconds, and
 * times as ISO text.
 */

const overlay = record({
  mode: string,
  device: nullable(string),
  dataPlane: oneOf(['userspace', 'kernel']),
  mtu: number,
  mac: nullable(string),
  address: string,
  subnets: listOf(string),
  peers: number,
  /** Peers that did not answer the last probes. */
  silentPeers: number,
  workerRestarts: number,
  /** The longest response time of a worker in the last minute; null where the kernel carries the packets. */
  workerLagMs: nullable(number),
  rebuilt: number,
  offloads: nullable(mapOf(string)),
});

const setting = record({
  /** As in the static file; `offloads.tso` for a key of an object. */
  name: string,
  value: {
    type: 'a setting',
    doc: '',
    read: (raw: unknown, where: string) =>
      typeof raw === 'boolean' ? raw : typeof raw === 'number' ? raw : string.read(raw, where),
  },
  /** Where it was given. */
  origin: oneOf(['default', 'cluster', 'file', 'flag']),
});

const status = record({
  ready: boolean,
  reasons: listOf(string),
  node: string,
  pid: number,
  version: string,
  startedAt: string,
  store: record({
    kind: string,
    location: string,
    downSince: nullable(string),
    borrowed: boolean,
    /** The store came back without known leases: how many are kept, until when, and what showed it. */
    kept: nullable(record({ leases: number, until: string, why: string })),
  }),
  lease: nullable(record({ key: string, subnets: listOf(string), endsInMs: nullable(number) })),
  underlay: nullable(
    record({ name: string, mtu: number, addresses: listOf(string), published: listOf(string) }),
  ),
  overlays: listOf(overlay),
  /** Null while there is no overlay, and where the agent maintains no rules. */
  rules: nullable(record({ tool: string, repaired: number })),
  /** Settings of the data plane in force; none while the node has no overlay. */
  settings: listOf(setting),
  /** Parts of the node and writes to the store that fail at the moment; each is retried. */
  failing: listOf(record({ part: string, reason: string })),
  repairs: mapOf(number),
  failedRepairs: number,
  networkStarts: number,
  leases: number,
  /** Listeners of the agent; `problem`: why one is not open. */
  endpoints: listOf(record({ name: string, location: string, problem: nullable(string) })),
  /** The last uncaught error that ended an agent on this node, and how many there were. */
  uncaught: nullable(record({ count: number, at: string, message: string })),
  rejected: listOf(record({ key: string, reason: string, message: string })),
  /** Kernel settings that this process may not write; traffic does not depend on them. */
  refusedSysctls: listOf(record({ name: string, value: string, reason: string, without: string })),
});

const count = record({ frames: number, bytes: number });

const peer = record({
  id: string,
  node: nullable(string),
  device: nullable(string),
  address: string,
  mac: nullable(string),
  subnets: listOf(string),
  direct: boolean,
  /** Inner checksums stay partial between the two nodes. */
  remoteChecksum: boolean,
  /** Results of the last probes; null before the first one, and where probes are disabled. */
  health: nullable(peerHealth),
  /** Null where the kernel carries the packets and does not count per peer. */
  traffic: nullable(record({ egress: count, ingress: count })),
});

const route = record({ destination: string, via: nullable(string), device: nullable(string) });

const lease = record({
  key: string,
  subnets: listOf(string),
  node: nullable(string),
  publicIp: nullable(string),
  publicIpv6: nullable(string),
  backend: string,
  own: boolean,
  /** ISO time; `never` for a reservation; null: the store has not reported it. */
  ends: nullable(string),
});

/** Readers of the answers by path. */
export const ANSWERS = {
  '/status': status,
  '/peers': listOf(peer),
  '/routes': listOf(route),
  '/leases': listOf(lease),
  '/drops': listOf(dropStatus),
  /** What the next comparison with the kernel would change, one line per step. */
  '/pending': listOf(string),
  /** Overlays that can be captured, with the IP versions that they carry; none where the kernel carries the packets. */
  '/captures': listOf(record({ device: string, families: listOf(number) })),
  '/flows': record({
    overlays: listOf(flowOverview),
    /** Number of flows in the table; `flows` are the first of them. */
    total: number,
    flows: listOf(flowRow),
    peers: listOf(flowPeerRow),
  }),
  /** Link of the web UI with its token; null if there is no web UI. */
  '/web': record({ link: nullable(string) }),
  '/doctor': diagnosis,
  /** As in `--log-level`. */
  '/log-level': record({ levels: string }),
};

export type AnswerPath = keyof typeof ANSWERS;
export type Answer<P extends AnswerPath> = ValueOf<(typeof ANSWERS)[P]>;

export type Status = ValueOf<typeof status>;
export type OverlayStatus = ValueOf<typeof overlay>;
export type SettingStatus = ValueOf<typeof setting>;
export type PeerStatus = ValueOf<typeof peer>;
export type RouteStatus = ValueOf<typeof route>;
export type LeaseStatus = ValueOf<typeof lease>;
export type FlowsAnswer = Answer<'/flows'>;
