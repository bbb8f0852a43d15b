import type { Mode } from '../../../encap/encap.ts';
import type { Peer } from '../../dataplane/descriptor/peer.ts';
import type { Prefix } from '../../ip/prefix.ts';

/** Configuration of the replayed forwarder. Names as in `DataPlaneOptions`. */
export interface ReplayConfig {
  readonly mode: Mode;
  /** Underlay address of this node. */
  readonly address: string;
  readonly port: number;
  readonly vni: number;
  /** MAC of this node's VTEP (vxlan). */
  readonly mac?: string | undefined;
  readonly mtu: number;
  readonly underlayMtu: number;
  readonly flood: boolean;
  readonly copyDscp?: boolean | undefined;
  readonly sourceCheck: boolean;
  readonly peers: readonly Peer[];
  /** Pod subnets of this node. */
  readonly subnets: readonly Prefix[];
  /** Pod networks of the cluster, where the configuration has them. */
  readonly networks: readonly Prefix[];
}
