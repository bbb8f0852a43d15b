import { addressBytes } from '../../ip/address.ts';
import { macBytes } from '../../ip/mac.ts';
import { AF_BRIDGE, addressText, macText } from '../address-bytes.ts';
import { headerU8, headerU16, headerU32, readAttributes } from './attributes.ts';
import { type Message, MessageWriter, NLM_F_CREATE, NLM_F_REPLACE } from './message.ts';
import {
  NDA_DST,
  NDA_LLADDR,
  NEIGHBOUR_HEADER,
  NUD_NOARP,
  NUD_PERMANENT,
  neighbourHeader,
  RTM_DELNEIGH,
  RTM_GETNEIGH,
  RTM_NEWNEIGH,
} from './neighbours.ts';
import type { NetlinkSocket } from './socket.ts';

/* Forwarding entries of bridges and VXLANs: MAC to port or remote. They have the messages of neighbours. */

const NTF_SELF = 0x02;

/** One entry of a bridge's or a VXLAN's forwarding table. */
export interface FdbEntry {
  /** Port of the bridge, or the VXLAN itself. */
  readonly link: number;
  readonly mac: string;
  /** Remote VTEP, for a VXLAN. */
  readonly remote: string | undefined;
  readonly permanent: boolean;
  /** The entry belongs to the device itself (VXLAN), not to the bridge that it is a port of. */
  readonly self: boolean;
}

/** An entry of a VXLAN. */
interface FdbSpec {
  readonly link: number;
  readonly mac: string;
  /** Remote VTEP. */
  readonly remote: string;
}

function readFdbEntry(message: Message): FdbEntry {
  const { payload } = message;
  const all = readAttributes(payload, NEIGHBOUR_HEADER);
  const remote = all.get(NDA_DST);
  const state = headerU16(payload, 8);
  return {
    link: headerU32(payload, 4),
    mac: macText(all.get(NDA_LLADDR) ?? new Uint8Array(6)),
    remote: remote && addressText(remote),
    permanent: (state & NUD_PERMANENT) !== 0,
    self: (headerU8(payload, 10) & NTF_SELF) !== 0,
  };
}

/** Forwarding entries of all bridges and VXLANs, or of one link (as port or as VXLAN). */
export function listFdb(socket: NetlinkSocket, link?: number): FdbEntry[] {
  const writer = neighbourHeader(
    new MessageWriter(RTM_GETNEIGH, 0, 'list forwarding entries'),
    AF_BRIDGE,
    0,
    0,
    0,
  );
  return socket
    .list(writer, RTM_NEWNEIGH, readFdbEntry, message => headerU8(message.payload, 0) === AF_BRIDGE)
    .filter(entry => link === undefined || entry.link === link);
}

function writeFdb(writer: MessageWriter, { link, mac, remote }: FdbSpec): MessageWriter {
  return neighbourHeader(writer, AF_BRIDGE, link, NUD_PERMANENT | NUD_NOARP, NTF_SELF)
    .attribute(NDA_LLADDR, macBytes(mac))
    .attribute(NDA_DST, addressBytes(remote));
}

/** The request to add a permanent entry or to change its remote. */
export function replaceFdbRequest(spec: FdbSpec): MessageWriter {
  const what = `set forwarding entry ${spec.mac} to ${spec.remote} on device ${spec.link}`;
  return writeFdb(new MessageWriter(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, what), spec);
}

/** The request to remove an entry. */
export function deleteFdbRequest(spec: FdbSpec): MessageWriter {
  const what = `delete forwarding entry ${spec.mac} to ${spec.remote} on device ${spec.link}`;
  return writeFdb(new MessageWriter(RTM_DELNEIGH, 0, what, ['ENOENT', 'ENODEV']), spec);
}
