import type { Mode } from '../../encap/encap.ts';
import type { Log } from '../base/log.ts';
import type { Prefix } from '../ip/prefix.ts';
import type { Peer } from './descriptor/peer.ts';
import type { OffloadSwitches, SteeringLoader } from './io/offloads.ts';
import type { PathProbe } from './path-checks.ts';

/** What implements the device: `io/tun.ts` or `io/tuntap2.ts`. */
export type Driver = 'native' | 'tuntap2';

/** How many threads serve a queue: one both of its directions, or each direction its own. */
export type ThreadsPerQueue = 1 | 2;

/** Configuration of a data plane. Constant while it runs. */
export interface DataPlaneOptions {
  readonly mode: Mode;
  /** Path of the network namespace for device and sockets; '' for this one. */
  readonly netns: string;
  /** Name of the device. It is created at start and, unless `persistent`, removed at stop. */
  readonly deviceName: string;
  /**
   * `native`: our own device, with batches and offloads. `tuntap2`: the device of the package, one packet per call; the
   * package chooses its name and creates it in the namespace of this process.
   */
  readonly driver?: Driver | undefined;
  /** The device stays when this process ends, for whatever reason. Only with `native`. */
  readonly persistent?: boolean | undefined;
  /** Own underlay address, which the sockets bind to. */
  readonly address: string;
  /** UDP port of the overlay. */
  readonly port: number;
  /** VXLAN network identifier; not used in udp mode. */
  readonly vni: number;
  /** MAC of this node's VTEP (vxlan). The device must be given the same MAC. */
  readonly mac?: string | undefined;
  /** MTU of the device: bytes of the largest inner IP packet. */
  readonly mtu: number;
  /** MTU of the underlay interface. */
  readonly underlayMtu: number;
  /** Copy broadcast and multicast to every peer. */
  readonly flood: boolean;
  /** Copy the DSCP of inner packets to the outer header. Default: the outer DSCP is 0. */
  readonly copyDscp?: boolean | undefined;
  /** Drop frames whose inner source does not belong to the peer that sent them. */
  readonly sourceCheck: boolean;
  /** Own pod subnets, at most one per family: with `sourceCheck`, frames to other addresses are dropped. Default: any. */
  readonly ownSubnets?: readonly Prefix[] | undefined;
  /** Accept partial inner checksums (CHECKSUM_PARTIAL) from a kernel peer on this host. Only for a local underlay. */
  readonly acceptPartialChecksums: boolean;
  readonly offloads: OffloadSwitches;
  /** Queues of device and underlay. */
  readonly queues: number;
  /** 1: one worker serves both directions of a queue; 2: one each. Default: `USUAL_THREADS` of `worker-plans.ts`. */
  readonly threadsPerQueue?: ThreadsPerQueue | undefined;
  /** Source ports that carry the entropy of inner flows (vxlan). */
  readonly sourcePorts: number;
  /** Longest busy polling of an idle worker before it sleeps (`native/environment.h`). */
  readonly busyPollMicroseconds: number;
  /** Initial capacity of the tables; they grow while traffic flows. */
  readonly capacity?:
    | { readonly peers: number; readonly macs: number; readonly prefixes: number }
    | undefined;
  /** Most peers that the tables grow to; further peers are refused by name. Default and limit: 65534. */
  readonly mostPeers?: number | undefined;
  /**
   * Peers that are known before the workers start, so that packets queued in device and socket are forwarded. A peer
   * that cannot be used is left out: see `DataPlane.refused`.
   */
  readonly peers?: readonly Peer[] | undefined;
  /** Keep the headers of lost frames and, on request, of all frames, within `bytes`. Absent: no flight recorder. */
  readonly recorder?: { readonly headers: boolean; readonly bytes: number } | undefined;
  /** Loads the BPF program that keeps each flow in one queue of the device. Absent: the kernel chooses the queue. */
  readonly loadSteering?: SteeringLoader | undefined;
  /** Tells forged ICMP errors about a path MTU from true ones. Absent: they are believed. */
  readonly probe?: PathProbe | undefined;
  readonly log: Log;
}

/** Initial capacity of the tables when the options set none. */
export const DEFAULT_CAPACITY = { peers: 4096, macs: 8192, prefixes: 8192 };
