import { AF_BRIDGE } from '../address-bytes.ts';
import { eachAttribute, headerU16, headerU32, readAttributes } from './attributes.ts';
import { type Message, MessageWriter } from './message.ts';
import type { NetlinkSocket } from './socket.ts';

/* VLANs of the ports of a bridge that filters by them (linux/if_bridge.h). */

const RTM_NEWLINK = 16;
const RTM_DELLINK = 17;
const RTM_GETLINK = 18;
const RTM_SETLINK = 19;
const LINK_HEADER = 16;
const IFLA_AF_SPEC = 26;
const IFLA_EXT_MASK = 29;
const RTEXT_FILTER_BRVLAN = 2;
const IFLA_BRIDGE_FLAGS = 0;
const IFLA_BRIDGE_VLAN_INFO = 2;
const BRIDGE_FLAGS_SELF = 2;
const INFO_PVID = 0x02;
const INFO_UNTAGGED = 0x04;
const INFO_RANGE_BEGIN = 0x08;
const INFO_RANGE_END = 0x10;

export interface BridgeVlan {
  /** Link index of the port, or of the bridge itself. */
  readonly link: number;
  /** 1..4094. */
  readonly id: number;
  /** Untagged frames that come in belong to this VLAN. */
  readonly pvid: boolean;
  /** Frames of this VLAN go out without a tag. */
  readonly untagged: boolean;
}

export interface BridgeVlanSpec {
  link: number;
  id: number;
  /** Last of a range that begins with `id`. */
  lastId?: number;
  pvid?: boolean;
  untagged?: boolean;
  /** The link is the bridge itself, not a port. */
  self?: boolean;
}

/** struct bridge_vlan_info: u16 flags, u16 id. */
function info(flags: number, id: number): Uint8Array {
  return new Uint8Array(new Uint16Array([flags, id]).buffer);
}

function vlanMessage(type: number, verb: string, spec: BridgeVlanSpec): MessageWriter {
  const { id, lastId = id } = spec;
  const range = lastId !== id;
  const span = range ? `${id}-${lastId}` : String(id);
  const flags = (spec.pvid ? INFO_PVID : 0) | (spec.untagged ? INFO_UNTAGGED : 0);
  const writer = new MessageWriter(type, 0, `${verb} VLAN ${span} on bridge port ${spec.link}`);
  writer.u8(AF_BRIDGE).u8(0).u16(0).u32(spec.link).u32(0).u32(0);
  return writer.nested(IFLA_AF_SPEC, list => {
    if (spec.self) list.attributeU16(IFLA_BRIDGE_FLAGS, BRIDGE_FLAGS_SELF);
    list.attribute(IFLA_BRIDGE_VLAN_INFO, info(flags | (range ? INFO_RANGE_BEGIN : 0), id));
    if (range) list.attribute(IFLA_BRIDGE_VLAN_INFO, info(flags | INFO_RANGE_END, lastId));
  });
}

/** Adds a VLAN or a range of them to a port. @throws NetError EOPNOTSUPP when the kernel filters no VLANs */
export function addBridgeVlan(socket: NetlinkSocket, spec: BridgeVlanSpec): void {
  socket.request(vlanMessage(RTM_SETLINK, 'add', spec));
}

/** Takes a VLAN or a range of them from a port; not an error when it is not there. @throws NetError */
export function deleteBridgeVlan(socket: NetlinkSocket, spec: BridgeVlanSpec): void {
  socket.request(vlanMessage(RTM_DELLINK, 'delete', spec));
}

export function readBridgeVlans(message: Message): BridgeVlan[] {
  const found: BridgeVlan[] = [];
  const spec = readAttributes(message.payload, LINK_HEADER).get(IFLA_AF_SPEC);
  if (!spec) return found;
  const link = headerU32(message.payload, 4);
  eachAttribute(spec, 0, (type, value) => {
    if (type !== IFLA_BRIDGE_VLAN_INFO) return;
    const flags = headerU16(value, 0);
    const id = headerU16(value, 2);
    found.push({ link, id, pvid: (flags & INFO_PVID) !== 0, untagged: (flags & INFO_UNTAGGED) !== 0 });
  });
  return found;
}

/** VLANs of all bridge ports, one entry per VLAN. */
export function listBridgeVlans(socket: NetlinkSocket): BridgeVlan[] {
  const writer = new MessageWriter(RTM_GETLINK, 0, 'list bridge VLANs');
  writer.u8(AF_BRIDGE).u8(0).u16(0).u32(0).u32(0).u32(0).attributeU32(IFLA_EXT_MASK, RTEXT_FILTER_BRVLAN);
  return socket.list(writer, RTM_NEWLINK, readBridgeVlans).flat();
}
