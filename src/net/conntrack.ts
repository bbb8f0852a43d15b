import type { Family } from '../ip/address.ts';
import { familyNumber } from './address-bytes.ts';
import { ignoreErrors } from './error.ts';
import { readAttributes, readNested, readU8, readU16Be } from './rtnetlink/attributes.ts';
import { type Message, MessageWriter } from './rtnetlink/message.ts';
import { NETLINK_NETFILTER, NetlinkSocket } from './rtnetlink/socket.ts';

/*
 * Connection tracking (linux/netfilter/nfnetlink_conntrack.h): a UDP flow that was seen once keeps the translation, or
 * the lack of one, that it had then. When a host port begins or ceases to lead to a pod, its flows have to be forgotten.
 */

const SUBSYSTEM = 1 << 8;
const GET = SUBSYSTEM | 1;
const DELETE = SUBSYSTEM | 2;
/** struct nfgenmsg: u8 family, u8 version, u16 resource. */
const HEADER = 4;
const CTA_TUPLE_ORIG = 1;
const CTA_ZONE = 18;
const CTA_TUPLE_PROTO = 2;
const CTA_PROTO_NUM = 1;
const CTA_PROTO_DST_PORT = 3;
const UDP = 17;

function begin(type: number, family: Family, what: string): MessageWriter {
  return new MessageWriter(type, 0, what).u8(familyNumber(family)).u8(0).u16(0);
}

/** Port that a flow was first sent to, when it is UDP. */
function udpPort(message: Message): number | undefined {
  const proto = readNested(
    readNested(readAttributes(message.payload, HEADER), CTA_TUPLE_ORIG),
    CTA_TUPLE_PROTO,
  );
  return readU8(proto, CTA_PROTO_NUM) === UDP ? readU16Be(proto, CTA_PROTO_DST_PORT) : undefined;
}

/**
 * Forgets the UDP flows of a family that were first sent to one of these ports.
 * @returns how many there were
 * @throws NetError EOPNOTSUPP, EPROTONOSUPPORT when the kernel tracks no connections for others to see
 */
export function deleteUdpConntrack(netns: string, family: Family, ports: ReadonlySet<number>): number {
  if (ports.size === 0) return 0;
  const socket = new NetlinkSocket({ netns, protocol: NETLINK_NETFILTER });
  try {
    const flows = socket.dump(begin(GET, family, 'list tracked connections'));
    let count = 0;
    for (const flow of flows) {
      const port = udpPort(flow);
      if (port === undefined || !ports.has(port)) continue;
      const all = readAttributes(flow.payload, HEADER);
      const tuple = all.get(CTA_TUPLE_ORIG);
      if (tuple === undefined) continue;
      const writer = begin(DELETE, family, `forget the UDP flow to port ${port}`);
      writer.attribute(CTA_TUPLE_ORIG | 0x8000, tuple);
      const zone = all.get(CTA_ZONE);
      if (zone) writer.attribute(CTA_ZONE, zone);
      // It may have ended meanwhile.
      if (ignoreErrors(['ENOENT'], () => socket.request(writer))) count++;
    }
    return count;
  } finally {
    socket.close();
  }
}
