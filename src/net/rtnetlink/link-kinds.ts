import { addressBytes } from '../../ip/address.ts';
import { addressText } from '../address-bytes.ts';
import { type Attributes, readU8, readU16, readU16Be, readU32 } from './attributes.ts';
import type { MessageWriter } from './message.ts';

/* Options and details of each kind of virtual device: IFLA_INFO_DATA of linux/if_link.h. */

/** Settings of any link. An absent one stays as it is; a new link gets the kernel's default. */
export interface LinkSettings {
  name?: string;
  up?: boolean;
  /** Bytes. */
  mtu?: number;
  mac?: string;
  /** Index of the bridge or VRF that it becomes a port of; 0 takes it out. */
  master?: number;
  /** Path of the namespace that it is moved to (or made in). */
  netns?: string;
  /** Packets. */
  txQueueLength?: number;
  alias?: string;
  promiscuous?: boolean;
  allMulticast?: boolean;
}

export interface BridgeOptions {
  vlanFiltering?: boolean;
}

interface VxlanOptions {
  /** 0..16777215. */
  vni: number;
  /** Address that datagrams are sent from. */
  local: string;
  /** UDP port. */
  port: number;
  learning: boolean;
  gbp: boolean;
  /** The outer header gets the DSCP of the inner packet (`tos inherit`). */
  copyDscp?: boolean;
}

export const MACVLAN_MODES = { private: 1, vepa: 2, bridge: 4, passthru: 8 } as const;
export type MacvlanMode = keyof typeof MACVLAN_MODES;
export const IPVLAN_MODES = { l2: 0, l3: 1, l3s: 2 } as const;
export type IpvlanMode = keyof typeof IPVLAN_MODES;

/** The kinds that can be made. `parent` (index) in the LinkSpec is the device beneath. */
export type KindSpec =
  /** The kernel makes the other end before it is connected, so it cannot be up from the start: set it up later. */
  | { kind: 'veth'; peer: Omit<LinkSettings, 'up'> & { name: string } }
  | { kind: 'bridge'; bridge?: BridgeOptions }
  | { kind: 'vxlan'; vxlan: VxlanOptions }
  | { kind: 'macvlan'; macvlan: { mode: MacvlanMode; broadcastQueueLength?: number } }
  | { kind: 'ipvlan'; ipvlan: { mode: IpvlanMode } }
  | { kind: 'vlan'; vlan: { id: number } }
  | { kind: 'vrf'; vrf: { table: number } }
  | { kind: 'dummy' }
  | { kind: 'ifb' };

/** Details of a listed link; only the member of its kind is present. */
export interface KindDetails {
  readonly bridge?: Required<BridgeOptions>;
  readonly vxlan?: {
    readonly vni: number;
    /** Index of the underlay device. */
    readonly parent: number | undefined;
    readonly local: string | undefined;
    readonly port: number;
    readonly learning: boolean;
    readonly gbp: boolean;
    /** The outer header gets the DSCP of the inner packet (`tos inherit`). */
    readonly copyDscp?: boolean;
    /** It sends and receives frames whose inner checksum is partial (`remcsumtx`, `remcsumrx`). */
    readonly remoteChecksum: { readonly sends: boolean; readonly receives: boolean };
  };
  readonly macvlan?: { readonly mode: MacvlanMode | undefined };
  readonly ipvlan?: { readonly mode: IpvlanMode | undefined };
  readonly vlan?: { readonly id: number };
  /** `table`: routing table of its ports. */
  readonly vrf?: { readonly table: number };
  /** `persistent`: the device outlives the process that holds it open. */
  readonly tun?: { readonly mode: 'tun' | 'tap'; readonly persistent: boolean; readonly multiQueue: boolean };
}

const VETH_INFO_PEER = 1;
const IFLA_BR_VLAN_FILTERING = 7;
const IFLA_VXLAN_ID = 1;
const IFLA_VXLAN_LINK = 3;
const IFLA_VXLAN_LOCAL = 4;
const IFLA_VXLAN_TOS = 6;
const IFLA_VXLAN_LEARNING = 7;
const IFLA_VXLAN_PORT = 15;
const IFLA_VXLAN_LOCAL6 = 17;
const IFLA_VXLAN_REMCSUM_TX = 21;
const IFLA_VXLAN_REMCSUM_RX = 22;
const IFLA_VXLAN_GBP = 23;
/** IFLA_VXLAN_TOS: the TOS of the inner packet. */
const TOS_INHERIT = 1;
const IFLA_MACVLAN_MODE = 1;
const IFLA_MACVLAN_BC_QUEUE_LEN = 7;
const IFLA_IPVLAN_MODE = 1;
const IFLA_VLAN_ID = 1;
const IFLA_VRF_TABLE = 1;
const IFLA_TUN_TYPE = 3;
const IFLA_TUN_PERSIST = 6;
const IFLA_TUN_MULTI_QUEUE = 7;

/** Writes IFLA_INFO_DATA of `spec`; `writePeer` writes the other end of a veth. */
export function writeKindData(
  writer: MessageWriter,
  dataType: number,
  spec: KindSpec & { parent?: number },
  writePeer: (peer: LinkSettings) => void,
): void {
  switch (spec.kind) {
    case 'dummy':
    case 'ifb':
      return;
    case 'veth':
      writer.nested(dataType, data => data.nested(VETH_INFO_PEER, () => writePeer(spec.peer)));
      return;
    case 'bridge':
      writer.nested(dataType, data => writeBridge(data, spec.bridge ?? {}));
      return;
    case 'vxlan':
      writer.nested(dataType, data => writeVxlan(data, spec.vxlan, spec.parent));
      return;
    case 'macvlan': {
      const { mode, broadcastQueueLength } = spec.macvlan;
      writer.nested(dataType, data => {
        data.attributeU32(IFLA_MACVLAN_MODE, MACVLAN_MODES[mode]);
        if (broadcastQueueLength !== undefined)
          data.attributeU32(IFLA_MACVLAN_BC_QUEUE_LEN, broadcastQueueLength);
      });
      return;
    }
    case 'ipvlan':
      writer.nested(dataType, data => data.attributeU16(IFLA_IPVLAN_MODE, IPVLAN_MODES[spec.ipvlan.mode]));
      return;
    case 'vlan':
      writer.nested(dataType, data => data.attributeU16(IFLA_VLAN_ID, spec.vlan.id));
      return;
    case 'vrf':
      writer.nested(dataType, data => data.attributeU32(IFLA_VRF_TABLE, spec.vrf.table));
  }
}

export function writeBridge(writer: MessageWriter, { vlanFiltering }: BridgeOptions): void {
  if (vlanFiltering !== undefined) writer.attributeU8(IFLA_BR_VLAN_FILTERING, Number(vlanFiltering));
}

function writeVxlan(writer: MessageWriter, options: VxlanOptions, parent: number | undefined): void {
  const local = addressBytes(options.local);
  writer.attributeU32(IFLA_VXLAN_ID, options.vni);
  if (parent !== undefined) writer.attributeU32(IFLA_VXLAN_LINK, parent);
  writer.attribute(local.length === 4 ? IFLA_VXLAN_LOCAL : IFLA_VXLAN_LOCAL6, local);
  writer.attributeU16Be(IFLA_VXLAN_PORT, options.port);
  writer.attributeU8(IFLA_VXLAN_LEARNING, Number(options.learning));
  if (options.copyDscp) writer.attributeU8(IFLA_VXLAN_TOS, TOS_INHERIT);
  if (options.gbp) writer.attribute(IFLA_VXLAN_GBP, new Uint8Array(0));
}

/** The details of a listed link of `kind`. */
export function readKindDetails(kind: string | undefined, data: Attributes): KindDetails {
  switch (kind) {
    case 'bridge':
      return { bridge: { vlanFiltering: readU8(data, IFLA_BR_VLAN_FILTERING) === 1 } };
    case 'vxlan': {
      const local = data.get(IFLA_VXLAN_LOCAL) ?? data.get(IFLA_VXLAN_LOCAL6);
      return {
        vxlan: {
          vni: readU32(data, IFLA_VXLAN_ID) ?? 0,
          parent: readU32(data, IFLA_VXLAN_LINK),
          local: local && addressText(local),
          port: readU16Be(data, IFLA_VXLAN_PORT) ?? 0,
          learning: readU8(data, IFLA_VXLAN_LEARNING) === 1,
          gbp: data.has(IFLA_VXLAN_GBP),
          copyDscp: readU8(data, IFLA_VXLAN_TOS) === TOS_INHERIT,
          remoteChecksum: {
            sends: readU8(data, IFLA_VXLAN_REMCSUM_TX) === 1,
            receives: readU8(data, IFLA_VXLAN_REMCSUM_RX) === 1,
          },
        },
      };
    }
    case 'macvlan':
      return { macvlan: { mode: modeName(MACVLAN_MODES, readU32(data, IFLA_MACVLAN_MODE)) } };
    case 'ipvlan':
      return { ipvlan: { mode: modeName(IPVLAN_MODES, readU16(data, IFLA_IPVLAN_MODE)) } };
    case 'vlan':
      return { vlan: { id: readU16(data, IFLA_VLAN_ID) ?? 0 } };
    case 'vrf':
      return { vrf: { table: readU32(data, IFLA_VRF_TABLE) ?? 0 } };
    case 'tun':
      return {
        tun: {
          mode: readU8(data, IFLA_TUN_TYPE) === 2 ? 'tap' : 'tun',
          persistent: readU8(data, IFLA_TUN_PERSIST) === 1,
          multiQueue: readU8(data, IFLA_TUN_MULTI_QUEUE) === 1,
        },
      };
    default:
      return {};
  }
}

function modeName<T extends string>(
  modes: Readonly<Record<T, number>>,
  value: number | undefined,
): T | undefined {
  return (Object.keys(modes) as T[]).find(name => modes[name] === value);
}
