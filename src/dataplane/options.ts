import type { Mode } from '../../encap/encap.ts';
import type { Log } from '../base/log.ts';
import type { Peer } from './descriptor/peer.ts';
import type { OffloadSwitches } from './io/offloads.ts';

export type Driver = 'batched' | 'tuntap2';

/** What a data plane is told once, at start. */
export interface DataPlaneOptions {
  readonly mode: Mode;
  /** Path of the network namespace for device and sockets; '' for this one. */
  readonly netns: string;
  /** Name of the device, which begins to exist at start and, unless `persistent`, ends at stop. */
  readonly deviceName: string;
  /**
   * `batched`: our own device, superframes and all. `tuntap2`: that of the package, a packet a call; it lives in the
   * namespace of this process and is made under a name of its own.
   */
  readonly driver?: Driver | undefined;
  /** The device stays when this process ends, however it ends; `batched` alone. */
  readonly persistent?: boolean | undefined;
  /** Own underlay address; what the sockets bind to. */
  readonly address: string;
  /** UDP port of the overlay. */
  readonly port: number;
  /** VXLAN network identifier; of no meaning in udp mode. */
  readonly vni: number;
  /** MAC of the own VTEP (vxlan). Whoever brings the device up gives it the same. */
  readonly mac?: string | undefined;
  /** MTU of the device: bytes of the largest inner IP packet. */
  readonly mtu: number;
  /** MTU of the underlay interface. */
  readonly underlayMtu: number;
  /** Copy broadcast and multicast to every peer. */
  readonly flood: boolean;
  /** Drop what comes with an inner source that its peer does not own. */
  readonly strictSource: boolean;
  /** Accept inner checksums left unfinished by a kernel peer on this host: only where the underlay is local. */
  readonly acceptUnfinished: boolean;
  readonly offloads: OffloadSwitches;
  /** Queues of device and underlay; each has a worker a direction. */
  readonly queues: number;
  /** Source ports that carry the entropy of inner flows (vxlan). */
  readonly sourcePorts: number;
  /** Microseconds that a worker looks again at most before it sleeps (`native/wait.h`). */
  readonly spinUs: number;
  /** What the tables have room for at first; they grow while traffic flows. */
  readonly capacity?:
    | { readonly peers: number; readonly macs: number; readonly prefixes: number }
    | undefined;
  /** Peers that the tables grow to at most; the rest is refused by name. Default and limit: 65534. */
  readonly mostPeers?: number | undefined;
  /**
   * Those that are known before the workers start: what waits in device and socket is theirs already. One that cannot
   * be taken is left out, see `DataPlane.refused`.
   */
  readonly peers?: readonly Peer[] | undefined;
  readonly log: Log;
}

/** What the tables have room for at first when the options do not say. */
export const DEFAULT_CAPACITY = { peers: 4096, macs: 8192, prefixes: 8192 };
