import { RipstopError } from '../../base/errors.ts';
import type { LinkSettings } from '../../net/rtnetlink/link-kinds.ts';
import { isRemoval, type KernelChange } from './change.ts';
import { defaultMetric, isOurs } from './observe.ts';
import {
  DEVICE_ALIAS,
  type DesiredDevice,
  type DesiredState,
  type ForwardingEntry,
  type KernelVxlan,
  type NeighbourEntry,
  type ObservedDevice,
  type ObservedRoute,
  type ObservedState,
  type OwnershipScope,
  PROTOCOL_BOOT,
  PROTOCOL_KERNEL,
  type RouteEntry,
  type SysctlEntry,
} from './state.ts';

/**
 * The changes that turn the observed state into the desired one, in the order in which they can be made: device, sysctls,
 * addresses, then removals of entries, then additions of entries. A new address is added before a former one is deleted:
 * the kernel removes all entries of a device without an address. Pure.
 * @throws RipstopError ENODEVICE when the data plane's device is gone, EINUSE when another device has its name, ENOTSUP
 *   when the kernel lacks a sysctl that is needed
 */
export function diff(wanted: DesiredState, observed: ObservedState, scope: OwnershipScope): KernelChange[] {
  const { device } = wanted;
  const rebuilt = device ? rebuild(device, observed.device) : [];
  // A device that is created again has no addresses, neighbours and routes.
  const known = rebuilt.some(change => change.do === 'create-device') ? bare(observed) : observed;
  const entries: KernelChange[] = [
    ...(device ? entryChanges(device.name, wanted, known) : []),
    ...routeChanges(wanted.routes, known.routes, scope),
  ];
  return [
    ...rebuilt,
    ...wanted.settings.flatMap(setting => sysctlChanges(setting, known, device)),
    ...(device ? deviceChanges(device, known.device) : []),
    ...entries.filter(isRemoval),
    ...entries.filter(change => !isRemoval(change)),
  ];
}

function bare(observed: ObservedState): ObservedState {
  const name = observed.device?.name;
  const routes = observed.routes.filter(route => name === undefined || route.device !== name);
  return { ...observed, device: undefined, neighbours: [], forwarding: [], routes };
}

function rebuild(device: DesiredDevice, observed: ObservedDevice | undefined): KernelChange[] {
  const { vxlan } = device;
  if (!vxlan) {
    if (observed && observed.kind !== 'tun')
      throw new RipstopError(
        'EINUSE',
        `device ${device.name}: the name is taken by a ${observed.kind ?? 'hardware'} device`,
        `remove it (ip link del ${device.name})`,
      );
    if (observed) return [];
    throw new RipstopError(
      'ENODEVICE',
      `device ${device.name} is gone`,
      'the data plane must be started again',
    );
  }
  if (!observed) return [{ do: 'create-device', device }];
  const why = difference(vxlan, observed);
  return why === undefined
    ? []
    : [
        { do: 'delete-device', name: device.name, why },
        { do: 'create-device', device },
      ];
}

/** The first difference of a kernel VXLAN that requires another device. */
function difference(wanted: KernelVxlan, observed: ObservedDevice): string | undefined {
  if (!observed.vxlan) return `it is a ${observed.kind ?? 'hardware'} device`;
  for (const key of ['vni', 'port', 'local', 'parent'] as const)
    if (wanted[key] !== observed.vxlan[key]) return `${key} is ${observed.vxlan[key]}`;
  for (const key of ['gbp', 'learning', 'copyDscp'] as const)
    if ((wanted[key] ?? false) !== (observed.vxlan[key] ?? false))
      return `${key} is ${observed.vxlan[key] ? 'on' : 'off'}`;
  return undefined;
}

function sysctlChanges(
  setting: SysctlEntry,
  observed: ObservedState,
  device: DesiredDevice | undefined,
): KernelChange[] {
  const { name, value, only = {}, without } = setting;
  const pending = observed.device === undefined && device !== undefined && name.includes(`/${device.name}/`);
  if (pending) return [{ do: 'set-sysctl', name, value, former: undefined, without }];
  const former = observed.settings.get(name);
  if (former === undefined) {
    if (without !== undefined) return [];
    throw new RipstopError(
      'ENOTSUP',
      `this kernel has no setting ${name}`,
      'IPv6 is switched off or not built in: leave out the IPv6 subnets',
    );
  }
  const met = Object.entries(only).every(([other, needed]) => observed.settings.get(other) === needed);
  if (former === value || !met) return [];
  return [{ do: 'set-sysctl', name, value, former, without }];
}

function deviceChanges(wanted: DesiredDevice, observed: ObservedDevice | undefined): KernelChange[] {
  const settings: LinkSettings = {};
  if (observed?.mtu !== wanted.mtu) settings.mtu = wanted.mtu;
  if (wanted.mac !== undefined && observed?.mac !== wanted.mac) settings.mac = wanted.mac;
  if (observed?.txQueueLength !== wanted.txQueueLength) settings.txQueueLength = wanted.txQueueLength;
  // Also of a device of flannel that is taken over: it is removed as ours when it is not wanted any more.
  if (wanted.vxlan && observed?.alias !== DEVICE_ALIAS) settings.alias = DEVICE_ALIAS;
  if (!observed?.up) settings.up = true;
  const has = observed?.addresses ?? [];
  const device = wanted.name;
  return [
    ...(Object.keys(settings).length > 0 ? [{ do: 'set-device', name: device, settings } as const] : []),
    ...wanted.addresses
      .filter(prefix => !has.includes(prefix))
      .map(prefix => ({ do: 'add-address', device, prefix }) as const),
    ...has
      .filter(prefix => !wanted.addresses.includes(prefix))
      .map(prefix => ({ do: 'delete-address', device, prefix }) as const),
  ];
}

function entryChanges(device: string, wanted: DesiredState, observed: ObservedState): KernelChange[] {
  const byAddress = (entry: NeighbourEntry) => entry.address;
  const byPair = (entry: ForwardingEntry) => `${entry.mac} ${entry.remote}`;
  const neighbours = compare(wanted.neighbours, observed.neighbours, byAddress, (a, b) => a.mac === b.mac);
  const forwarding = compare(wanted.forwarding, observed.forwarding, byPair, () => true);
  return [
    ...neighbours.stale.map(entry => ({ do: 'delete-neighbour', device, ...entry }) as const),
    ...forwarding.stale.map(entry => ({ do: 'delete-forwarding', device, ...entry }) as const),
    ...neighbours.missing.map(entry => ({ do: 'set-neighbour', device, ...entry }) as const),
    ...forwarding.missing.map(entry => ({ do: 'set-forwarding', device, ...entry }) as const),
  ];
}

function compare<T>(
  wanted: readonly T[],
  observed: readonly T[],
  key: (entry: T) => string,
  same: (a: T, b: T) => boolean,
): { missing: T[]; stale: T[] } {
  const has = new Map(observed.map(entry => [key(entry), entry]));
  const wants = new Set(wanted.map(key));
  const missing = wanted.filter(entry => {
    const found = has.get(key(entry));
    return found === undefined || !same(entry, found);
  });
  return { missing, stale: observed.filter(entry => !wants.has(key(entry))) };
}

function routeChanges(
  wanted: readonly RouteEntry[],
  observed: readonly ObservedRoute[],
  scope: OwnershipScope,
): KernelChange[] {
  const changes: KernelChange[] = [];
  const byDestination = new Map<string, ObservedRoute[]>();
  for (const route of observed) {
    const rivals = byDestination.get(route.destination);
    if (rivals) rivals.push(route);
    else byDestination.set(route.destination, [route]);
  }
  const wants = new Set(wanted.map(route => route.destination));
  const connected = new Set(connectedRoutes(wanted, observed, scope).map(route => route.destination));
  for (const route of observed)
    if (isOurs(route, scope) && (!wants.has(route.destination) || connected.has(route.destination)))
      changes.push({ do: 'delete-route', route });
  for (const route of wanted) {
    const rivals = byDestination.get(route.destination) ?? [];
    if (connected.has(route.destination)) continue;
    const same = rivals.filter(rival => satisfies(rival, route));
    // The kernel keeps one route per destination and metric: ours replaces the one with the default metric.
    const former = rivals.find(rival => rival.metric === defaultMetric(rival.family));
    if (same.length === 0) changes.push({ do: 'set-route', route, former });
    else if (scope.adopts && former && same.includes(former) && former.protocol === PROTOCOL_BOOT)
      changes.push({ do: 'set-route', route, former, adopts: true });
  }
  return changes;
}

/**
 * The kernel's routes to desired destinations that another interface is connected to. Ours are not set there, at any
 * metric: the node would lose its connection to that network.
 */
export function connectedRoutes(
  wanted: readonly RouteEntry[],
  observed: readonly ObservedRoute[],
  scope: OwnershipScope,
): ObservedRoute[] {
  const wants = new Set(wanted.map(route => route.destination));
  return observed.filter(
    route =>
      route.protocol === PROTOCOL_KERNEL && wants.has(route.destination) && route.device !== scope.device,
  );
}

function satisfies(observed: ObservedRoute, wanted: RouteEntry): boolean {
  return (
    !observed.special &&
    observed.gateway === wanted.gateway &&
    (wanted.device === undefined || observed.device === wanted.device) &&
    (!wanted.onlink || observed.onlink === true)
  );
}
