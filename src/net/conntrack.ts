import type { Family } from '../ip/address.ts';
import { familyNumber } from './address-bytes.ts';
import { ignoreErrors } from './error.ts';
import { NLA_F_NESTED, readAttributes, readNested, readU8, readU16Be } from './rtnetlink/attributes.ts';
import { type Message, netfilterRequest } from './rtnetlink/message.ts';
import { NETLINK_NETFILTER, type NetlinkSocket, withSocket } from './rtnetlink/socket.ts';

/*
 * Connection tracking (linux/netfilter/nfnetlink_conntrack.h): a tracked UDP flow keeps its address translation, or the lack
 * of one. When a host port is added or removed, its flows must be deleted from the table.
 */

const SUBSYSTEM = 1 << 8;
const GET = SUBSYSTEM | 1;
const DELETE = SUBSYSTEM | 2;
/** Bytes of struct nfgenmsg. */
const HEADER = 4;
const CTA_TUPLE_ORIG = 1;
const CTA_ZONE = 18;
const CTA_TUPLE_PROTO = 2;
const CTA_PROTO_NUM = 1;
const CTA_PROTO_DST_PORT = 3;
const UDP = 17;

/** Port that a flow was first sent to, when it is UDP. */
function udpPort(flow: ReturnType<typeof readAttributes>): number | undefined {
  const proto = readNested(readNested(flow, CTA_TUPLE_ORIG), CTA_TUPLE_PROTO);
  return readU8(proto, CTA_PROTO_NUM) === UDP ? readU16Be(proto, CTA_PROTO_DST_PORT) : undefined;
}

/**
 * Forgets the UDP flows of a family that were first sent to one of these ports.
 * @returns how many there were
 * @throws NetError EOPNOTSUPP, EPROTONOSUPPORT when the kernel tracks no connections for others to see
 */
export function deleteUdpConntrack(netns: string, family: Family, ports: ReadonlySet<number>): number {
  if (ports.size === 0) return 0;
  const request = (type: number, what: string) => netfilterRequest(type, familyNumber(family), what);
  const forget = (socket: NetlinkSocket, flow: Message): boolean => {
    const all = readAttributes(flow.payload, HEADER);
    const port = udpPort(all);
    const [tuple, zone] = [all.get(CTA_TUPLE_ORIG), all.get(CTA_ZONE)];
    if (port === undefined || !ports.has(port) || !tuple) return false;
    const writer = request(DELETE, `forget the UDP flow to port ${port}`);
    writer.attribute(CTA_TUPLE_ORIG | NLA_F_NESTED, tuple);
    if (zone) writer.attribute(CTA_ZONE, zone);
    // The flow may have ended meanwhile.
    return ignoreErrors(['ENOENT'], () => socket.request(writer));
  };
  return withSocket(
    netns,
    socket => {
      const flows = socket.dump(request(GET, 'list tracked connections'));
      return flows.filter(flow => forget(socket, flow)).length;
    },
    NETLINK_NETFILTER,
  );
}
