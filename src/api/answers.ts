import { podEntry } from '../agent/pod-registry.ts';
import { peerHealth } from '../agent/probe/probe-window.ts';
import { segmentationState } from '../agent/proof/peer-proof.ts';
import {
  boolean,
  described,
  listOf,
  mapOf,
  nullable,
  number,
  oneOf,
  record,
  string,
  type ValueOf,
} from '../base/schema.ts';
import { podPairFields } from '../capture/decode/pod-pair.ts';
import { flowOverview, flowPeerRow, flowRow } from '../capture/flows/flow-report.ts';
import { audit } from '../diagnose/audit/balance.ts';
import { diagnosis } from '../diagnose/doctor/finding.ts';
import { dropsAnswer } from '../diagnose/drops.ts';
import { latency } from '../diagnose/latency/budget.ts';
import { nodeRecord } from '../diagnose/report/node-shape.ts';
import { runtime } from '../diagnose/runtime.ts';
import { recorderAnswer, recorderField } from './recorder/state.ts';

/*
 * The answers of the agent's socket: what the server writes, and how the client reads it. The commands print them with
 * --json. Times are ISO 8601 in UTC.
 */

const overlay = record({
  mode: described('`udp`, `vxlan` or `host-gw`', string),
  device: described('name of the device; null with plain routes', nullable(string)),
  dataPlane: described('what carries the packets', oneOf(['userspace', 'kernel'])),
  mtu: described('MTU of the device, bytes', number),
  mac: described('MAC of the VTEP; null without one', nullable(string)),
  address: described('own underlay address', string),
  subnets: described('subnets of the cluster that the overlay carries', listOf(string)),
  peers: described('number of peers', number),
  silentPeers: described('number of peers that did not answer the last probes', number),
  queues: described(
    'frames that the workers of each queue judged; null where the kernel carries the packets',
    nullable(
      listOf(
        record({
          egress: described('frames from the device', number),
          ingress: described('datagrams from the underlay', number),
        }),
      ),
    ),
  ),
  workerRestarts: described('how often a worker was started again', number),
  workerLagMs: described(
    'the longest response time of a worker in the last minute, ms; null where the kernel carries the packets',
    nullable(number),
  ),
  rebuilt: described('how often the device was made again', number),
  offloads: described(
    'offload to its state; null where the kernel carries the packets',
    nullable(mapOf(string)),
  ),
  recorder: described(
    'the flight recorder; null where it is off, and where the kernel carries the packets',
    nullable(recorderField),
  ),
});

const setting = record({
  name: described('as in the static file; `offloads.tso` for a key of an object', string),
  value: {
    type: 'a setting',
    doc: 'value in force',
    json: { type: ['boolean', 'number', 'string'] },
    read: (raw: unknown, where: string) =>
      typeof raw === 'boolean' ? raw : typeof raw === 'number' ? raw : string.read(raw, where),
  },
  origin: described('where the value was given', oneOf(['default', 'cluster', 'file', 'flag'])),
});

const kept = record({
  leases: described('number of leases', number),
  until: described('when they are given up', string),
  why: described('what showed the loss', string),
});

const store = record({
  kind: described('`etcd`, `kubernetes`, `file` or `static`', string),
  location: described('endpoint, API server or path', string),
  downSince: described('since when the store does not answer; null while it does', nullable(string)),
  failingWrites: described(
    'writes of this node that the store does not take at present, with the reason; each is retried',
    listOf(string),
  ),
  lacking: described('what the store does not permit this node, with the effect', listOf(string)),
  borrowed: described('the lease is that of the saved state; the store has not confirmed it', boolean),
  kept: described('known leases that the store came back without; null without such a loss', nullable(kept)),
});

const ownLease = record({
  key: described('key of the lease in the store', string),
  subnets: described('pod subnets of this node', listOf(string)),
  endsInMs: described('time left, ms; null for a lease that does not end', nullable(number)),
});

const underlay = record({
  name: described('name of the interface', string),
  mtu: described('its MTU, bytes', number),
  addresses: described('its addresses that the overlay uses', listOf(string)),
  published: described('addresses in the lease, to which the peers send', listOf(string)),
});

const rules = record({
  tool: described('`nftables` or `iptables`', string),
  repaired: described('how often the rules were restored', number),
});

const failingPart = record({
  part: described('part of the node, or write to the store', string),
  reason: described('why it fails', string),
});

const endpoint = record({
  name: described('which listener', string),
  location: described('its address or path', string),
  problem: described('why it is not open; null while it is', nullable(string)),
});

const uncaught = record({
  count: described('number of uncaught errors on this node', number),
  at: described('when the last one occurred', string),
  message: described('its message', string),
});

const rejected = record({
  key: described('key of the lease', string),
  reason: described('word for the reason', string),
  message: described('the reason as a sentence', string),
});

const refusedSysctl = record({
  name: described('name of the sysctl', string),
  value: described('wanted value', string),
  reason: described('why it could not be written', string),
  without: described('effect on the node', string),
});

const status = record({
  ready: described('the node carries packets of pods as configured', boolean),
  reasons: described('why it is not ready', listOf(string)),
  node: described('name of the node', string),
  pid: described('process id of the agent', number),
  version: described('version of the agent', string),
  startedAt: described('start of the agent', string),
  store: described('the lease store', store),
  lease: described('lease of this node; null before it has one', nullable(ownLease)),
  underlay: described('the interface to the other nodes; null before it is chosen', nullable(underlay)),
  overlays: described('one per device and IP version', listOf(overlay)),
  rules: described(
    'rules of the node; null without an overlay, and where the agent keeps no rules',
    nullable(rules),
  ),
  settings: described('settings of the data plane; empty without an overlay', listOf(setting)),
  waiting: described(
    'change of the network configuration that waits for the other nodes; null without one',
    nullable(string),
  ),
  failing: described('parts and writes that fail at present; each is retried', listOf(failingPart)),
  repairs: described('number of corrections of the kernel state, by step', mapOf(number)),
  failedRepairs: described('number of corrections that failed', number),
  networkStarts: described('how often the overlay was started', number),
  leases: described('number of leases in the store', number),
  endpoints: described('listeners of the agent', listOf(endpoint)),
  uncaught: described(
    'uncaught errors that ended an agent on this node; null without one',
    nullable(uncaught),
  ),
  rejected: described('leases that the node ignores', listOf(rejected)),
  refusedSysctls: described(
    'sysctls that the agent may not write; traffic does not depend on them',
    listOf(refusedSysctl),
  ),
});

const count = record({
  frames: described('number of frames', number),
  bytes: described('their bytes', number),
});

const traffic = record({
  egress: described('sent to the peer', count),
  ingress: described('received from it', count),
});

const peer = record({
  id: described('name of the peer in this node', string),
  node: described('name of its node; null if the store does not have it', nullable(string)),
  agent: described(
    'which agent wrote the lease; null where the store does not show it',
    nullable(oneOf(['ripstop', 'flannel'])),
  ),
  device: described('device of the overlay; null with plain routes', nullable(string)),
  address: described('underlay address', string),
  mac: described('MAC of its VTEP; null without one', nullable(string)),
  subnets: described('its pod subnets', listOf(string)),
  direct: described('a plain route leads to it, without encapsulation', boolean),
  remoteChecksum: described('inner checksums stay partial between the two nodes', boolean),
  segmentation: described(
    'whether several datagrams may leave in one message; null where this is not proven: the peer does not announce that it answers, or plain routes lead to it',
    nullable(segmentationState),
  ),
  health: described(
    'results of the last probes; null before the first one, and where probes are disabled',
    nullable(peerHealth),
  ),
  traffic: described(
    'null where the kernel carries the packets and does not count per peer',
    nullable(traffic),
  ),
});

const route = record({
  destination: described('CIDR', string),
  via: described('next hop; null without one', nullable(string)),
  device: described('output interface; null if the kernel chooses it', nullable(string)),
});

const lease = record({
  key: described('key of the lease in the store', string),
  subnets: described('pod subnets', listOf(string)),
  node: described('name of the node; null if the store does not have it', nullable(string)),
  agent: described(
    'which agent wrote the lease; null where the store does not show it',
    nullable(oneOf(['ripstop', 'flannel'])),
  ),
  publicIp: described('IPv4 address of the underlay; null without one', nullable(string)),
  publicIpv6: described('IPv6 address of the underlay; null without one', nullable(string)),
  backend: described(
    '`udp`, `vxlan`, `host-gw` or another backend of flannel; `reserved` for a key without a node',
    string,
  ),
  own: described('the lease of this node', boolean),
  ends: described(
    'when it ends; `never` for a reservation; null if the store has not reported it',
    nullable(string),
  ),
});

const flow = record({ ...flowRow.fields, ...podPairFields });

/** Readers of the answers by path. */
export const ANSWERS = {
  '/status': status,
  '/peers': listOf(peer),
  '/routes': listOf(route),
  '/leases': listOf(lease),
  '/drops': dropsAnswer,
  '/audit': audit,
  '/runtime': runtime,
  '/latency': latency,
  /** What the next comparison with the kernel would change, one line per step. */
  '/pending': listOf(string),
  '/recorder': recorderAnswer,
  /** Overlays that can be captured, with the IP versions that they carry; none where the kernel carries the packets. */
  '/captures': listOf(record({ device: string, families: listOf(number) })),
  /** Addresses of the pods of the node: the former owners, then the present ones. */
  '/pods': listOf(podEntry),
  '/flows': record({
    overlays: described('flow table of each overlay', listOf(flowOverview)),
    total: described('number of flows; `flows` has the first of them', number),
    flows: described('the flows, in the order of --sort', listOf(flow)),
    peers: described('the sums per peer', listOf(flowPeerRow)),
  }),
  /** Link of the web UI with its token; null if there is no web UI. */
  '/web': record({ link: nullable(string) }),
  '/doctor': diagnosis,
  /** What a trace on another machine needs of this node; null while there is no overlay. */
  '/node': nullable(nodeRecord),
  /** The last lines of the log, without secrets. */
  '/log': listOf(string),
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
export type FlowStatus = ValueOf<typeof flow>;
export type FlowsAnswer = Answer<'/flows'>;
