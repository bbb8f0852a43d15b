import { changeLink, type Link } from '../../net/rtnetlink/links.ts';
import type { NetlinkSocket } from '../../net/rtnetlink/socket.ts';

/** Names of devices that were set aside: `rs-old-` and the index, within IFNAMSIZ. */
const SET_ASIDE = /^rs-old-\d+$/;

/**
 * Frees name and port of a device that is about to be replaced. To delete it would take the kernel several times as long,
 * because it waits for all references to the device, and the packets of pods would be lost meanwhile. It is deleted when
 * its successor carries packets, or by the next start.
 * @throws NetError
 */
export function setAside(socket: NetlinkSocket, { index }: Link): void {
  // Only a device that is down can be renamed, and the kernel closes the port of a VXLAN device that is down.
  changeLink(socket, index, { up: false });
  changeLink(socket, index, { name: `rs-old-${index}` });
}

export const isSetAside = ({ name }: Link): boolean => SET_ASIDE.test(name);
