import { existsSync, readdirSync, realpathSync } from 'node:fs';
import { basename, isAbsolute, join, normalize } from 'node:path';
import { macText } from '../../../../encap/wire/addresses.ts';
import { codeOf, messageOf } from '../../../base/errors.ts';
import { parseMac } from '../../../ip/mac.ts';
import { findLink, type Link, listLinks } from '../../../net/rtnetlink/links.ts';
import type { NetlinkSocket } from '../../../net/rtnetlink/socket.ts';
import { CniError, CODE, refuse } from '../../skel/errors.ts';

const PCI = '/sys/bus/pci/devices';
const AUXILIARY = '/sys/bus/auxiliary/devices';
/** Drivers that hand the device to a program in user space: the kernel has no interface for it. */
const USERSPACE_DRIVERS = ['vfio-pci', 'uio_pci_generic', 'igb_uio'];

/** The third notation of Go's net.ParseMAC, which the reference plugin reads: 0200.5e10.0001. */
const DOTTED = /^(\w\w)(\w\w)\.(\w\w)(\w\w)\.(\w\w)(\w\w)$/;

/** The ways to name a device; the first that is set counts. */
export interface DeviceName {
  device?: string | undefined;
  hwaddr?: string | undefined;
  kernelpath?: string | undefined;
  pciBusID?: string | undefined;
  /** Device of the auxiliary bus (sub-functions): only by `runtimeConfig.deviceID`. */
  auxiliary?: string | undefined;
}

/** A name of one directory: it does not lead out of the bus. */
function checkBusName(where: string, name: string): string {
  if (name.includes('/') || name === '.' || name === '..')
    refuse(where, `${JSON.stringify(name)} is not the name of a device of the bus`);
  return name;
}

/**
 * What `runtimeConfig.deviceID` names: a PCI or an auxiliary device. It counts before `pciBusID`.
 * @throws CniError 7 when neither bus has it
 */
export function resolveDeviceId(id: string): Pick<DeviceName, 'pciBusID' | 'auxiliary'> {
  checkBusName('runtimeConfig.deviceID', id);
  if (existsSync(join(PCI, id))) return { pciBusID: id };
  if (existsSync(join(AUXILIARY, id))) return { pciBusID: undefined, auxiliary: id };
  throw new CniError(
    CODE.INVALID_CONFIG,
    `runtime config DeviceID ${id} not found or unsupported`,
    `neither ${PCI} nor ${AUXILIARY} has it`,
  );
}

/** True for a PCI device that a program in user space drives (DPDK). @throws CniError 999 for a device without a driver */
export function isUserspaceDevice(pciBusId: string): boolean {
  const link = join(PCI, checkBusName('pciBusID', pciBusId), 'driver');
  try {
    return USERSPACE_DRIVERS.includes(basename(realpathSync(link)));
  } catch (error) {
    throw new CniError(CODE.INTERNAL, `error with host device: ${messageOf(error)}`);
  }
}

/** The first network device in a directory of sysfs. */
function linkIn(node: NetlinkSocket, directory: string): Link {
  let names: string[];
  try {
    names = readdirSync(directory).sort();
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error;
    notFound(`failed to read directory ${directory}: it does not exist`);
  }
  const [first] = names;
  if (first === undefined) notFound(`failed to find network device in path ${directory}`);
  return (
    findLink(node, first) ??
    notFound(`${directory} names "${first}", which the node's namespace does not have`)
  );
}

function notFound(why: string): never {
  throw new CniError(CODE.INTERNAL, `failed to find host device: ${why}`);
}

/** `net` of a PCI device, or of the virtio device below it. */
function netDirectory(pciBusId: string): string {
  const device = join(PCI, checkBusName('pciBusID', pciBusId));
  const direct = join(device, 'net');
  if (existsSync(direct)) return direct;
  const below = existsSync(device) ? readdirSync(device).sort() : [];
  const virtio = below.find(name => name.startsWith('virtio') && existsSync(join(device, name, 'net')));
  return virtio ? join(device, virtio, 'net') : notFound(`no net directory under pci device ${pciBusId}`);
}

/** The device on the node. @throws CniError 7 for a malformed name, 999 when there is no such device */
export function findDevice(node: NetlinkSocket, name: DeviceName): Link {
  const { device, hwaddr, kernelpath, pciBusID, auxiliary } = name;
  if (device) return findLink(node, device) ?? notFound(`Link not found: ${device}`);
  if (hwaddr) {
    const bytes =
      parseMac(hwaddr.replace(DOTTED, '$1:$2:$3:$4:$5:$6')) ??
      refuse('hwaddr', `failed to parse MAC address "${hwaddr}"`);
    const wanted = macText(bytes);
    return (
      listLinks(node).find(link => link.mac === wanted) ?? notFound(`no interface has the MAC ${wanted}`)
    );
  }
  if (kernelpath) {
    if (!isAbsolute(kernelpath) || !normalize(kernelpath).startsWith('/sys/devices/'))
      refuse(
        'kernelpath',
        `kernel device path "${kernelpath}" must be absolute and begin with /sys/devices/`,
      );
    return linkIn(node, join(kernelpath, 'net'));
  }
  if (pciBusID) return linkIn(node, netDirectory(pciBusID));
  if (auxiliary) return linkIn(node, join(AUXILIARY, auxiliary, 'net'));
  return notFound('failed to find physical interface');
}
