import { AF_BRIDGE } from '../address-bytes.ts';
import { eachAttribute, headerU16, headerU32, readAttributes } from './attributes.ts';
import { LINK_HEADER, linkHeader, RTM_DELLINK, RTM_GETLINK, RTM_NEWLINK } from './links.ts';
import { type Message, MessageWriter } from './message.ts';
import type { NetlinkSocket } from './socket.ts';

/* VLANs of the ports of a bridge that filters by them (linux/if_bridge.h). */

const RTM_SETLINK = 19;
const IFLA_AF_SPEC = 26;
const IFLA_EXT_MASK = 29;
const RTEXT_FILTER_BRVLAN = 2;
const IFLA_BRIDGE_VLAN_INFO = 2;
const INFO_PVID = 0x02;
const INFO_UNTAGGED = 0x04;

interface BridgeVlan {
  /** Link index of the port, or of the bridge itself. */
  readonly link: number;
  /** 1..4094. */
  readonly id: number;
  /** Untagged frames that come in belong to this VLAN. */
  readonly pvid: boolean;
  /** Frames of this VLAN go out without a tag. */
  readonly untagged: boolean;
}

interface BridgeVlanSpec {
  link: number;
  id: number;
  pvid?: boolean;
  untagged?: boolean;
}

function vlanMessage(type: number, verb: string, spec: BridgeVlanSpec): MessageWriter {
  const flags = (spec.pvid ? INFO_PVID : 0) | (spec.untagged ? INFO_UNTAGGED : 0);
  const writer = new MessageWriter(type, 0, `${verb} VLAN ${spec.id} on bridge port ${spec.link}`);
  // struct bridge_vlan_info: u16 flags, u16 id.
  const info = new Uint8Array(new Uint16Array([flags, spec.id]).buffer);
  return linkHeader(writer, spec.link, { family: AF_BRIDGE }).nested(IFLA_AF_SPEC, list =>
    list.attribute(IFLA_BRIDGE_VLAN_INFO, info),
  );
}

/** Adds a VLAN to a port. @throws NetError EOPNOTSUPP when the kernel filters no VLANs */
export function addBridgeVlan(socket: NetlinkSocket, spec: BridgeVlanSpec): void {
  socket.request(vlanMessage(RTM_SETLINK, 'add', spec));
}

/** Takes a VLAN from a port; not an error when it is not there. @throws NetError */
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
  linkHeader(writer, 0, { family: AF_BRIDGE }).attributeU32(IFLA_EXT_MASK, RTEXT_FILTER_BRVLAN);
  return socket.list(writer, RTM_NEWLINK, readBridgeVlans).flat();
}
