import type { Mode } from '../../encap/encap.ts';

/** A remote node of a replay. */
export interface ReplayPeer {
  readonly id: string;
  /** Underlay address, of the family of the own one. */
  readonly address: string;
  readonly port?: number | undefined;
  /** MAC of its VTEP (vxlan). */
  readonly mac?: string | undefined;
  readonly subnets: readonly string[];
}

/** What a forwarder is told, checked by whoever read it. Names as in `DataPlaneOptions`. */
export interface ReplayConfig {
  readonly mode: Mode;
  /** Own underlay address. */
  readonly address: string;
  readonly port: number;
  readonly vni: number;
  /** MAC of the own VTEP (vxlan). */
  readonly mac?: string | undefined;
  readonly mtu: number;
  readonly underlayMtu: number;
  readonly flood: boolean;
  readonly strictSource: boolean;
  readonly peers: readonly ReplayPeer[];
}
