import type { ErrorCode } from '../../base/errors.ts';
import { addressBytes } from '../../ip/address.ts';
import { macBytes } from '../../ip/mac.ts';
import { AF_BRIDGE, addressText, macText } from '../address-bytes.ts';
import { ignoreErrors } from '../error.ts';
import { headerU8, headerU16, headerU32, readAttributes, readU16, readU16Be, readU32 } from './attributes.ts';
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

/* Forwarding entries of bridges and VXLANs: MAC to port or remote. The kernel files them with the neighbours. */

const NDA_VLAN = 5;
const NDA_PORT = 6;
const NDA_MASTER = 9;
const NTF_SELF = 0x02;
const NTF_MASTER = 0x04;

/** One entry of a bridge's or a VXLAN's forwarding table. */
export interface FdbEntry {
  /** Port of the bridge, or the VXLAN itself. */
  readonly link: number;
  readonly mac: string;
  /** Remote VTEP, for a VXLAN. */
  readonly remote: string | undefined;
  readonly port: number | undefined;
  readonly vlan: number | undefined;
  readonly master: number | undefined;
  readonly permanent: boolean;
  /** The entry belongs to the device itself (VXLAN), not to the bridge that it is a port of. */
  readonly self: boolean;
}

export interface FdbSpec {
  link: number;
  mac: string;
  /** Remote VTEP of a VXLAN. */
  remote?: string;
  vlan?: number;
  /** The bridge's table in place of the device's own. */
  master?: boolean;
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
    port: readU16Be(all, NDA_PORT),
    vlan: readU16(all, NDA_VLAN),
    master: readU32(all, NDA_MASTER),
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

function fdbMessage(type: number, flags: number, verb: string, spec: FdbSpec): MessageWriter {
  const towards = spec.remote ? ` to ${spec.remote}` : '';
  const what = `${verb} forwarding entry ${spec.mac}${towards} on device ${spec.link}`;
  const writer = new MessageWriter(type, flags, what);
  // The state is needed when deleting as well: the bridge refuses a message without one.
  neighbourHeader(
    writer,
    AF_BRIDGE,
    spec.link,
    NUD_PERMANENT | NUD_NOARP,
    spec.master ? NTF_MASTER : NTF_SELF,
  );
  writer.attribute(NDA_LLADDR, macBytes(spec.mac));
  if (spec.remote !== undefined) writer.attribute(NDA_DST, addressBytes(spec.remote));
  if (spec.vlan !== undefined) writer.attributeU16(NDA_VLAN, spec.vlan);
  return writer;
}

/** The request of `replaceFdb`, for `requestAll`. */
export function replaceFdbRequest(spec: FdbSpec): MessageWriter {
  return fdbMessage(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, 'set', spec);
}

/** The request of `deleteFdb`, and what it may fail with when nothing is there. */
export function deleteFdbRequest(spec: FdbSpec): MessageWriter {
  return fdbMessage(RTM_DELNEIGH, 0, 'delete', spec);
}

export const FDB_ABSENT: readonly ErrorCode[] = ['ENOENT', 'ENODEV'];

/** Adds a permanent forwarding entry or changes its remote. @throws NetError */
export function replaceFdb(socket: NetlinkSocket, spec: FdbSpec): void {
  socket.request(replaceFdbRequest(spec));
}

/** Removes a forwarding entry; true when it was there. @throws NetError on anything but its absence */
export function deleteFdb(socket: NetlinkSocket, spec: FdbSpec): boolean {
  return ignoreErrors(FDB_ABSENT, () => socket.request(deleteFdbRequest(spec)));
}
