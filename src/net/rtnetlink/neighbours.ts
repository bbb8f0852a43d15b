import { addressBytes, type Family } from '../../ip/address.ts';
import { macBytes } from '../../ip/mac.ts';
import {
  AF_INET,
  AF_INET6,
  addressText,
  familyNumber,
  familyNumberOf,
  familyOf,
  macText,
} from '../address-bytes.ts';
import { isNetError } from '../error.ts';
import { headerU8, headerU16, headerU32, readAttributes } from './attributes.ts';
import { type Message, MessageWriter, NLM_F_CREATE, NLM_F_REPLACE } from './message.ts';
import type { NetlinkSocket } from './socket.ts';

/* Neighbours: IP address to MAC. */

export const RTM_NEWNEIGH = 28;
export const RTM_DELNEIGH = 29;
export const RTM_GETNEIGH = 30;
/** Bytes of struct ndmsg. */
export const NEIGHBOUR_HEADER = 12;
export const NDA_DST = 1;
export const NDA_LLADDR = 2;
const NTF_PROXY = 0x08;
export const NUD_NOARP = 0x40;
export const NUD_PERMANENT = 0x80;

export interface Neighbour {
  readonly family: Family;
  readonly link: number;
  readonly address: string;
  readonly mac: string | undefined;
  /** NUD_* bits. */
  readonly state: number;
  readonly permanent: boolean;
}

interface NeighbourSpec {
  link: number;
  address: string;
  mac: string;
}

export function readNeighbour(message: Message): Neighbour {
  const { payload } = message;
  const all = readAttributes(payload, NEIGHBOUR_HEADER);
  const address = all.get(NDA_DST);
  const mac = all.get(NDA_LLADDR);
  const state = headerU16(payload, 8);
  return {
    family: familyOf(headerU8(payload, 0)),
    link: headerU32(payload, 4),
    address: address ? addressText(address) : '',
    mac: mac && mac.length === 6 ? macText(mac) : undefined,
    state,
    permanent: (state & NUD_PERMANENT) !== 0,
  };
}

/** Writes struct ndmsg: u8 family, pad, u16 pad, i32 link, u16 state, u8 flags, u8 type. */
export function neighbourHeader(
  writer: MessageWriter,
  family: number,
  link: number,
  state: number,
  flags: number,
): MessageWriter {
  return writer.u8(family).u8(0).u16(0).u32(link).u16(state).u8(flags).u8(0);
}

/** Neighbours of both families (proxy entries left out), of one link or of all. */
export function listNeighbours(
  socket: NetlinkSocket,
  filter: { link?: number; family?: Family } = {},
): Neighbour[] {
  const family = familyNumber(filter.family);
  const writer = neighbourHeader(new MessageWriter(RTM_GETNEIGH, 0, 'list neighbours'), family, 0, 0, 0);
  return socket
    .list(writer, RTM_NEWNEIGH, readNeighbour, isIpNeighbour)
    .filter(neighbour => filter.link === undefined || neighbour.link === filter.link);
}

function isIpNeighbour(message: Message): boolean {
  const family = headerU8(message.payload, 0);
  return (family === AF_INET || family === AF_INET6) && (headerU8(message.payload, 10) & NTF_PROXY) === 0;
}

/**
 * The entry of an address on a link, undefined if there is none; also before Linux 5.0, which can only list.
 * @throws NetError
 */
export function findNeighbour(socket: NetlinkSocket, link: number, address: string): Neighbour | undefined {
  const bytes = addressBytes(address);
  const writer = new MessageWriter(RTM_GETNEIGH, 0, `look up neighbour ${address}`);
  neighbourHeader(writer, familyNumberOf(bytes), link, 0, 0).attribute(NDA_DST, bytes);
  try {
    const found = socket.get(writer).find(message => message.type === RTM_NEWNEIGH);
    return found && readNeighbour(found);
  } catch (error) {
    if (isNetError(error, 'ENOENT', 'EOPNOTSUPP')) return undefined;
    throw error;
  }
}

/** The request to add a permanent neighbour or to change its MAC. */
export function replaceNeighbourRequest({ link, address, mac }: NeighbourSpec): MessageWriter {
  const what = `set neighbour ${address} on device ${link}`;
  const bytes = addressBytes(address);
  const writer = new MessageWriter(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, what);
  return neighbourHeader(writer, familyNumberOf(bytes), link, NUD_PERMANENT, 0)
    .attribute(NDA_DST, bytes)
    .attribute(NDA_LLADDR, macBytes(mac));
}

/** The request to remove a neighbour. */
export function deleteNeighbourRequest({ link, address }: Omit<NeighbourSpec, 'mac'>): MessageWriter {
  const what = `delete neighbour ${address} on device ${link}`;
  const bytes = addressBytes(address);
  const writer = new MessageWriter(RTM_DELNEIGH, 0, what, ['ENOENT', 'ENODEV', 'ESRCH']);
  return neighbourHeader(writer, familyNumberOf(bytes), link, 0, 0).attribute(NDA_DST, bytes);
}
