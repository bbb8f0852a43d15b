import { text } from '../../../base/schema.ts';
import { changeLink, findLink, getLink, isLinkName, type Link } from '../../../net/rtnetlink/links.ts';
import { dnsDocs, ipamDocs } from '../../config/fields.ts';
import { passthroughObject, readIgnoringUnknown } from '../../config/ignore-unknown.ts';
import { ipamType } from '../../delegate/addresses.ts';
import { checkLink } from '../../link/checks.ts';
import { type NetlinkPair, withNodeAndPod } from '../../link/netlink-pair.ts';
import { refuseExisting } from '../../link/veth.ts';
import { CniError, CODE } from '../../skel/errors.ts';
import { isNamespace } from '../../skel/namespace.ts';
import type { Call, Plugin } from '../../skel/plugin.ts';
import { OUTSIDE_GATEWAY, podLinkPlugin } from '../pod-link.ts';
import { type DeviceName, findDevice, isUserspaceDevice, resolveDeviceId } from './find-device.ts';

const hostDeviceFields = {
  device: text('an interface name', 'device of the node'),
  hwaddr: text('a MAC address', 'MAC address of the device of the node'),
  kernelpath: text('a path', 'directory of the device below /sys/devices/'),
  pciBusID: text('a PCI address', 'PCI address of the device, for example 0000:00:1f.6'),
  runtimeConfig: passthroughObject(
    { deviceID: text('a device id', 'PCI address or name on the auxiliary bus; counts before pciBusID') },
    'of the runtime',
  ),
};

interface HostDeviceConfig {
  name: DeviceName;
  /** A program in user space drives the device: no interface is moved, only addresses are reserved. */
  isUserspace: boolean;
  ipam: string | undefined;
}

function readConfig(call: Call): HostDeviceConfig {
  const { runtimeConfig, ...keys } = readIgnoringUnknown(hostDeviceFields, call.config, '');
  const id = runtimeConfig?.deviceID;
  const name: DeviceName = id ? { ...keys, ...resolveDeviceId(id) } : keys;
  if (!Object.values(name).some(Boolean))
    throw new CniError(
      CODE.INVALID_CONFIG,
      'specify either "device", "hwaddr", "kernelpath" or "pciBusID"',
      'or declare the capability deviceID',
    );
  const isUserspace = name.pciBusID ? isUserspaceDevice(name.pciBusID) : false;
  return { name, isUserspace, ipam: ipamType(call.config) };
}

/**
 * Moves the device into the pod. Its name on the node becomes its alias, by which DEL finds the way back; the reference plugin
 * does the same. Namespace, name and alias change in one request, so that no program (udev, a network manager) sees a state in
 * between. The kernel sets a device down when it moves it.
 */
function moveIn(call: Call, { node }: NetlinkPair, device: Link): void {
  changeLink(node, device.index, { netns: call.netns, name: call.ifname, alias: device.name });
}

/** Moves the device back to the node, down and under its former name. */
function moveOut(call: Call, { node, pod, nodeNetns }: NetlinkPair): void {
  const link = findLink(pod, call.ifname);
  if (!link) return;
  const former = link.alias ?? '';
  if (!isLinkName(former)) {
    call.host.log(`host-device: ${call.ifname} stays in the pod: its alias is not the name of a device`);
    return;
  }
  if (findLink(node, former))
    throw new CniError(
      CODE.INTERNAL,
      `failed to move "${call.ifname}" to the node: it was "${former}" there, and the node has another device of this name`,
    );
  changeLink(pod, link.index, { netns: nodeNetns || '/proc/self/ns/net', name: former, alias: '' });
}

/** Gives the pod a device of the node, for as long as it runs. */
export const hostDevice: Plugin = podLinkPlugin<HostDeviceConfig>({
  name: 'host-device',
  docs: {
    keys: { ...hostDeviceFields, ...ipamDocs, ...dnsDocs },
    differences: [
      OUTSIDE_GATEWAY,
      'Namespace, name and alias of the device change in one request instead of in a temporary namespace.',
      'A failed ADD gives the device back to the node as it was.',
      'DEL succeeds if the device is gone, and leaves an interface without an alias in the pod: another plugin made it.',
      'hwaddr takes addresses of 6 bytes; the 20 bytes of InfiniBand are not supported.',
    ],
  },
  read: readConfig,
  create(call, netlink, { name, isUserspace }, undo) {
    refuseExisting(netlink.pod, call.ifname);
    if (isUserspace) return undefined;
    const device = findDevice(netlink.node, name);
    undo.push(`give ${device.name} back to the node`, () => {
      moveOut(call, netlink);
      changeLink(netlink.node, getLink(netlink.node, device.name).index, { up: device.up });
    });
    moveIn(call, netlink, device);
    return getLink(netlink.pod, call.ifname);
  },
  verify({ pod }, entry, { isUserspace }) {
    return isUserspace ? undefined : checkLink(pod, entry);
  },
  async remove(call) {
    if (!isNamespace(call.host.namespaces, call.netns)) return;
    await withNodeAndPod(call, async netlink => moveOut(call, netlink));
  },
});
