import * as wire from '../../../encap/encap.ts';

/** What became of a frame. */
export interface Verdict {
  /** Counter label and packet comment: lower-case words joined by `-`. */
  readonly name: string;
  /** Whether the frame is lost. */
  readonly drop: boolean;
  readonly direction: 'egress' | 'ingress' | 'both';
  /** What happened, for `docs/reference/metrics.md` and `ripstop drops`. */
  readonly meaning: string;
  /** What a person can do about it; empty when nothing is wrong. */
  readonly remedy: string;
}

/*
 * The numbers are the descriptor's DESC_VERDICT field: small integers, dense, in the order of VERDICTS below.
 * They are plain constants because a hot loop compares them.
 */
export const PENDING = 0;
export const FORWARD = 1;
export const FLOOD = 2;
export const PUNT = 3;
export const NO_PEER = 4;
export const MULTICAST = 5;
export const TOO_BIG = 6;
export const EGRESS_MALFORMED = 7;
export const SEND_FAILED = 8;
export const TRUNCATED = 9;
/* The faults that the `check` of an encapsulation returns are verdicts too, in the same order. */
const WIRE_FAULT = 9;
export const RUNT = WIRE_FAULT + wire.RUNT;
export const BAD_FLAGS = WIRE_FAULT + wire.BAD_FLAGS;
export const WRONG_VNI = WIRE_FAULT + wire.WRONG_VNI;
export const UNKNOWN_PEER = 13;
export const SPOOFED_SOURCE = 14;
export const INNER_MALFORMED = 15;
export const OVERSIZED = 16;
export const BAD_CHECKSUM = 17;
export const NOT_FOR_US = 18;
export const WRITE_FAILED = 19;
/* No descriptor has these two: the kernel drops the frame before a worker can read it. */
export const DEVICE_QUEUE_FULL = 20;
export const SOCKET_DROPPED = 21;
export const OFFLOAD_PROOF = 22;
export const BAD_ECN = 23;

/** Verdicts that are given before the encapsulation header is removed: DESC_OFFSET is still that of the datagram. */
export const OUTER_VERDICTS: readonly number[] = [TRUNCATED, RUNT, BAD_FLAGS, WRONG_VNI, UNKNOWN_PEER];

export const VERDICTS: readonly Verdict[] = [
  {
    name: 'pending',
    drop: false,
    direction: 'both',
    meaning: 'not classified yet; never counted',
    remedy: '',
  },
  { name: 'forward', drop: false, direction: 'both', meaning: 'forwarded', remedy: '' },
  {
    name: 'flood',
    drop: false,
    direction: 'egress',
    meaning: 'broadcast or multicast, copied to every peer (head-end replication)',
    remedy: '',
  },
  {
    name: 'punt',
    drop: false,
    direction: 'both',
    meaning: 'answered locally (ARP or neighbour discovery)',
    remedy: '',
  },
  {
    name: 'no-peer',
    drop: true,
    direction: 'egress',
    meaning: 'no peer owns the destination; the sender gets an ICMP unreachable (rate-limited)',
    remedy:
      'compare the destination with `ripstop peers`: missing lease, stale neighbour entry, or too wide a route',
  },
  {
    name: 'multicast',
    drop: true,
    direction: 'both',
    meaning: 'broadcast or multicast, which the overlay does not carry by default',
    remedy:
      'normal for announcements of kernels and daemons; if the pods need it, set `flood` (`--flood`, or `Backend.Ripstop.flood` for all nodes)',
  },
  {
    name: 'too-big',
    drop: true,
    direction: 'egress',
    meaning: 'exceeds the path MTU; the sender gets fragmentation-needed or packet-too-big (rate-limited)',
    remedy: 'lower the overlay MTU, or fix the underlay MTU',
  },
  {
    name: 'egress-malformed',
    drop: true,
    direction: 'egress',
    meaning: 'invalid length or offload header in a frame from the device',
    remedy: 'a local sender writes invalid packets: capture at the point `drop`',
  },
  {
    name: 'send-failed',
    drop: true,
    direction: 'egress',
    meaning: 'the kernel refused the datagram',
    remedy:
      'see the errno in `ripstop drops --follow`: no route to the peer, firewall OUTPUT rule, or full send buffer',
  },
  {
    name: 'truncated',
    drop: true,
    direction: 'ingress',
    meaning: 'the datagram is longer than the receive buffer',
    remedy: 'the peer sends more than 64 KiB at once: check its offload settings',
  },
  {
    name: 'runt',
    drop: true,
    direction: 'ingress',
    meaning: 'too short to hold the headers',
    remedy: 'something else sends to this port',
  },
  {
    name: 'bad-flags',
    drop: true,
    direction: 'ingress',
    meaning: 'VXLAN flags other than the I bit alone, or reserved bits set',
    remedy:
      'the peer uses an extension that is not enabled here: GBP (needs --data-plane=kernel), GPE, or remote checksum offload',
  },
  {
    name: 'wrong-vni',
    drop: true,
    direction: 'ingress',
    meaning: 'another VXLAN network identifier than ours',
    remedy: 'make VNI equal on all nodes',
  },
  {
    name: 'unknown-peer',
    drop: true,
    direction: 'ingress',
    meaning: 'the outer source address belongs to no peer',
    remedy: 'compare with `ripstop peers`: node without a lease, NAT on the underlay, or an intruder',
  },
  {
    name: 'spoofed-source',
    drop: true,
    direction: 'ingress',
    meaning: 'the inner source address or MAC does not belong to the peer that sent it',
    remedy: 'missing masquerade on the peer, overlapping subnets, or spoofing',
  },
  {
    name: 'inner-malformed',
    drop: true,
    direction: 'ingress',
    meaning: 'invalid version, header length or total length of the inner packet',
    remedy: 'broken offload on the peer: capture at the point `drop` on both nodes',
  },
  {
    name: 'oversized',
    drop: true,
    direction: 'ingress',
    meaning: 'the inner packet exceeds the MTU of the device',
    remedy: 'make the overlay MTU equal on all nodes',
  },
  {
    name: 'bad-checksum',
    drop: true,
    direction: 'ingress',
    meaning: 'the inner TCP or UDP checksum is wrong',
    remedy: 'checksum offload is broken on the peer or on the path: `ethtool -K <underlay> tx off` there',
  },
  {
    name: 'not-for-us',
    drop: true,
    direction: 'ingress',
    meaning:
      "the inner destination is not on this node: another node's MAC, or an address outside its pod subnets",
    remedy: 'the peer has a stale neighbour or FDB entry, or uses this node as a relay',
  },
  {
    name: 'write-failed',
    drop: true,
    direction: 'ingress',
    meaning: 'the device refused the frame',
    remedy: 'see the errno in `ripstop drops --follow`: device down or queue full',
  },
  {
    name: 'device-queue-full',
    drop: true,
    direction: 'egress',
    meaning:
      'the kernel dropped the frame because the queue of the overlay device was full; counted by the device',
    remedy:
      'the pods send faster than the node forwards: give the node more processor time, slow the sender, or raise txQueueLength for short bursts',
  },
  {
    name: 'socket-dropped',
    drop: true,
    direction: 'ingress',
    meaning:
      "the kernel dropped the datagram at the tunnel's socket: receive buffer full, or wrong outer UDP checksum",
    remedy:
      'compare UdpRcvbufErrors with UdpInCsumErrors (`nstat -az`): the first means that datagrams arrive faster than the node takes them, the second that a checksum offload on the path is broken',
  },
  {
    name: 'offload-proof',
    drop: false,
    direction: 'ingress',
    meaning:
      "a message of the peer's agent that proves segmentation offload; for the agent of this node, never written to the device",
    remedy: '',
  },
  {
    name: 'bad-ecn',
    drop: true,
    direction: 'ingress',
    meaning:
      'a router marked the outer header as congested (ECN: CE), and the inner packet does not support such marks (RFC 6040)',
    remedy:
      'something on the underlay marks packets that do not allow it, or rewrites their TOS: capture at the point `drop`, and look for a router or queue that sets ECN bits without checking them',
  },
];

/** Verdicts of frames that are lost. */
export const DROP_VERDICTS: readonly number[] = VERDICTS.flatMap(({ drop }, number) =>
  drop ? [number] : [],
);
