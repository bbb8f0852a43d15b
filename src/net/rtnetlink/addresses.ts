import { constants } from 'node:os';
import { addressBytes, type Family } from '../../ip/address.ts';
import { addressText, familyNumber, familyNumberOf, familyOf, prefixBytes } from '../address-bytes.ts';
import { NetError } from '../error.ts';
import { headerU8, headerU32, readAttributes, readU32 } from './attributes.ts';
import { type Message, MessageWriter, NLM_F_CREATE, NLM_F_EXCL } from './message.ts';
import type { NetlinkSocket } from './socket.ts';

export const RTM_NEWADDR = 20;
export const RTM_DELADDR = 21;
const RTM_GETADDR = 22;
/** struct ifaddrmsg: u8 family, u8 prefix length, u8 flags, u8 scope, u32 index. */
const ADDRESS_HEADER = 8;
const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const IFA_BROADCAST = 4;
const IFA_FLAGS = 8;
const IFA_F_SECONDARY = 0x01;
const IFA_F_NODAD = 0x02;
const IFA_F_DADFAILED = 0x08;
const IFA_F_DEPRECATED = 0x20;
const IFA_F_TENTATIVE = 0x40;
const IFA_F_NOPREFIXROUTE = 0x200;

/** One address of a device as the kernel reports it. */
export interface InterfaceAddress {
  readonly family: Family;
  /** Link index. */
  readonly link: number;
  /** Without prefix length. */
  readonly address: string;
  readonly prefixLength: number;
  /** `address/length`. */
  readonly prefix: string;
  /** RT_SCOPE_*: 0 global, 253 link, 254 host. */
  readonly scope: number;
  readonly secondary: boolean;
  readonly deprecated: boolean;
  /** IPv6: not usable yet, duplicate address detection runs (or, with `duplicate`, found another owner). */
  readonly tentative: boolean;
  readonly duplicate: boolean;
  /** No connected route came with it. */
  readonly noPrefixRoute: boolean;
}

interface AddressSpec {
  /** Link index. */
  link: number;
  /** `address/length`; a bare address has its whole length. */
  prefix: string;
  broadcast?: string;
  /** No connected route comes with it. */
  noPrefixRoute?: boolean;
  /** IPv6: usable at once, no duplicate address detection. */
  noDuplicateDetection?: boolean;
}

export function readAddress(message: Message): InterfaceAddress {
  const { payload } = message;
  const prefixLength = headerU8(payload, 1);
  const all = readAttributes(payload, ADDRESS_HEADER);
  const flags = readU32(all, IFA_FLAGS) ?? headerU8(payload, 2);
  // IFA_ADDRESS is the other end of a point-to-point address.
  const address = addressText(all.get(IFA_LOCAL) ?? all.get(IFA_ADDRESS) ?? new Uint8Array(4));
  return {
    family: familyOf(headerU8(payload, 0)),
    link: headerU32(payload, 4),
    address,
    prefixLength,
    prefix: `${address}/${prefixLength}`,
    scope: headerU8(payload, 3),
    secondary: (flags & IFA_F_SECONDARY) !== 0,
    deprecated: (flags & IFA_F_DEPRECATED) !== 0,
    tentative: (flags & IFA_F_TENTATIVE) !== 0,
    duplicate: (flags & IFA_F_DADFAILED) !== 0,
    noPrefixRoute: (flags & IFA_F_NOPREFIXROUTE) !== 0,
  };
}

/** Addresses of one link, or of all. */
export function listAddresses(
  socket: NetlinkSocket,
  filter: { link?: number; family?: Family } = {},
): InterfaceAddress[] {
  const family = familyNumber(filter.family);
  const writer = new MessageWriter(RTM_GETADDR, 0, 'list addresses');
  writer
    .u8(family)
    .u8(0)
    .u16(0)
    .u32(filter.link ?? 0);
  const all = socket.list(writer, RTM_NEWADDR, readAddress);
  // Kernels before 4.20 ignore the index in the request.
  return filter.link === undefined ? all : all.filter(address => address.link === filter.link);
}

/** Writes the request for an address: struct ifaddrmsg and attributes. */
function writeAddress(writer: MessageWriter, spec: AddressSpec): MessageWriter {
  const { address, length } = prefixBytes(spec.prefix);
  const bits = (spec.noPrefixRoute ? IFA_F_NOPREFIXROUTE : 0) | (spec.noDuplicateDetection ? IFA_F_NODAD : 0);
  writer.u8(familyNumberOf(address)).u8(length);
  writer
    .u8(bits & 0xff)
    .u8(0)
    .u32(spec.link);
  writer.attribute(IFA_LOCAL, address).attribute(IFA_ADDRESS, address);
  if (spec.broadcast !== undefined) writer.attribute(IFA_BROADCAST, addressBytes(spec.broadcast));
  if (bits !== 0) writer.attributeU32(IFA_FLAGS, bits);
  return writer;
}

/** Adds an address. @throws NetError EEXIST when the link has it */
export function addAddress(socket: NetlinkSocket, spec: AddressSpec): void {
  const what = `add address ${spec.prefix} on device ${spec.link}`;
  socket.request(writeAddress(new MessageWriter(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, what), spec));
}

/** Removes an address; true when it was there. @throws NetError on anything but its absence */
export function deleteAddress(socket: NetlinkSocket, spec: AddressSpec): boolean {
  const what = `delete address ${spec.prefix} on device ${spec.link}`;
  return socket.request(
    writeAddress(new MessageWriter(RTM_DELADDR, 0, what, ['EADDRNOTAVAIL', 'ENODEV']), spec),
  );
}

/**
 * Waits until no IPv6 address of the link is tentative: before that a program cannot bind to it.
 * @param pause sleeps the given milliseconds; handed in so that the caller decides how to wait
 * @throws NetError EADDRINUSE when another node owns one of them, ETIMEDOUT after `timeoutMs`
 */
export async function waitForDad(
  socket: NetlinkSocket,
  link: number,
  timeoutMs: number,
  pause: (ms: number) => Promise<void>,
): Promise<void> {
  const step = 20;
  for (let waited = 0; ; waited += step) {
    const addresses = listAddresses(socket, { link, family: 6 });
    const duplicate = addresses.find(address => address.duplicate);
    if (duplicate)
      throw new NetError(
        constants.errno.EADDRINUSE,
        `address ${duplicate.prefix}`,
        'another node on the link owns it',
      );
    if (!addresses.some(address => address.tentative)) return;
    if (waited >= timeoutMs)
      throw new NetError(
        constants.errno.ETIMEDOUT,
        `addresses of device ${link}`,
        `still tentative after ${timeoutMs} ms`,
      );
    await pause(step);
  }
}
