import { parseAddress } from '../../ip/address.ts';
import { contains, type Prefix } from '../../ip/prefix.ts';
import { ignoreErrors } from '../../net/error.ts';
import { listAddresses } from '../../net/rtnetlink/addresses.ts';
import { listLinks } from '../../net/rtnetlink/links.ts';
import type { NetlinkSocket } from '../../net/rtnetlink/socket.ts';
import { readSysctl, writeSysctl } from '../../net/sysctl.ts';

/*
 * The kernel forwards a packet only where the interface that it arrives by has forwarding on. An interface takes the
 * setting from net.ipv4.conf.default when it is made, which hardening rules and systemd-networkd set to 0. Pods' bridges
 * are made by CNI plugins at any time. IPv6 has no such condition.
 */

/** An interface that has an address of the node's pod subnet. */
export interface PodInterface {
  readonly name: string;
  /** Name of its setting, with slashes. */
  readonly setting: string;
  readonly forwards: boolean;
}

/** The interfaces that lead to pods, and the overlay's device. @throws NetError */
export function podInterfaces(socket: NetlinkSocket, subnet: Prefix | undefined): PodInterface[] {
  if (!subnet) return [];
  const indexes = new Set(
    listAddresses(socket, { family: 4 })
      .filter(({ address }) => {
        const parsed = parseAddress(address);
        return parsed !== undefined && contains(subnet, parsed);
      })
      .map(({ link }) => link),
  );
  const found: PodInterface[] = [];
  for (const { index, name } of listLinks(socket)) {
    if (!indexes.has(index)) continue;
    const setting = `net/ipv4/conf/${name}/forwarding`;
    // The interface may be gone meanwhile.
    ignoreErrors(['ENOENT'], () =>
      found.push({ name, setting, forwards: readSysctl(socket.netns, setting) !== '0' }),
    );
  }
  return found;
}

/**
 * Switches forwarding on for the interfaces of pods.
 * @returns names of the settings that were changed
 * @throws NetError where the kernel does not let a setting be written
 */
export function keepPodForwarding(socket: NetlinkSocket, subnet: Prefix | undefined): string[] {
  return podInterfaces(socket, subnet)
    .filter(({ forwards }) => !forwards)
    .map(({ setting }) => {
      ignoreErrors(['ENOENT'], () => writeSysctl(socket.netns, setting, '1'));
      return setting;
    });
}
