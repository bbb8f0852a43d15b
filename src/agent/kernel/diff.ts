import { RipstopError } from '../../base/errors.ts';
import type { LinkSettings } from '../../net/rtnetlink/link-kinds.ts';
import { isRemoval, type Step } from './change.ts';
import { isOurs } from './observe.ts';
import {
  type DesiredDevice,
  type DesiredState,
  type ForwardingEntry,
  type KernelVxlan,
  type NeighbourEntry,
  type ObservedDevice,
  type ObservedRoute,
  type ObservedState,
  PROTOCOL_KERNEL,
  type RouteEntry,
  type SettingEntry,
  type Territory,
} from './state.ts';

/**
 * The steps that turn what is there into what should be, in the order in which they can be made: removals, device,
 * settings, addresses, neighbours, forwarding, routes. Empty when nothing is to do. Pure.
 * @throws RipstopError ENODEVICE when the device is gone and not ours to make, EINUSE when another has its name, ENOTSUP when a setting is missing that is needed
 */
export function diff(wanted: DesiredState, there: ObservedState, territory: Territory): Step[] {
  const { device } = wanted;
  const rebuilt = device ? rebuild(device, there.device) : [];
  // A device that is made anew has lost everything that hung on it.
  const known = rebuilt.some(step => step.do === 'create-device') ? bare(there) : there;
  const steps: Step[] = [
    ...rebuilt,
    ...wanted.settings.flatMap(setting => settingStep(setting, known, device)),
    ...(device ? deviceSteps(device, known.device) : []),
    ...(device ? entrySteps(device.name, wanted, known) : []),
    ...routeSteps(wanted.routes, known.routes, territory),
  ];
  return [...steps.filter(isRemoval), ...steps.filter(step => !isRemoval(step))];
}

function bare(there: ObservedState): ObservedState {
  const name = there.device?.name;
  const routes = there.routes.filter(route => name === undefined || route.device !== name);
  return { ...there, device: undefined, neighbours: [], forwarding: [], routes };
}

function rebuild(device: DesiredDevice, there: ObservedDevice | undefined): Step[] {
  const { vxlan } = device;
  if (!vxlan) {
    if (there && there.kind !== 'tun')
      throw new RipstopError(
        'EINUSE',
        `device ${device.name}: the name is taken by a ${there.kind ?? 'hardware'} device`,
        `remove it (ip link del ${device.name})`,
      );
    if (there) return [];
    throw new RipstopError(
      'ENODEVICE',
      `device ${device.name} is gone`,
      'the data plane must be started again',
    );
  }
  if (!there) return [{ do: 'create-device', device }];
  const why = difference(vxlan, there);
  return why === undefined
    ? []
    : [
        { do: 'delete-device', name: device.name, why },
        { do: 'create-device', device },
      ];
}

/** What of a kernel VXLAN cannot be changed and differs. */
function difference(wanted: KernelVxlan, there: ObservedDevice): string | undefined {
  if (!there.vxlan) return `it is a ${there.kind ?? 'hardware'} device`;
  for (const key of ['vni', 'port', 'local', 'parent'] as const)
    if (wanted[key] !== there.vxlan[key]) return `${key} is ${there.vxlan[key]}`;
  for (const key of ['gbp', 'learning'] as const)
    if ((wanted[key] ?? false) !== (there.vxlan[key] ?? false))
      return `${key} is ${there.vxlan[key] ? 'on' : 'off'}`;
  return undefined;
}

function settingStep(setting: SettingEntry, there: ObservedState, device: DesiredDevice | undefined): Step[] {
  const { name, value, only = {}, without } = setting;
  const pending = there.device === undefined && device !== undefined && name.includes(`/${device.name}/`);
  if (pending) return [{ do: 'set-setting', name, value, former: undefined, without }];
  const former = there.settings.get(name);
  if (former === undefined) {
    if (without !== undefined) return [];
    throw new RipstopError(
      'ENOTSUP',
      `this kernel has no setting ${name}`,
      'IPv6 is switched off or not built in: leave out the IPv6 subnets',
    );
  }
  const met = Object.entries(only).every(([other, needed]) => there.settings.get(other) === needed);
  if (former === value || !met) return [];
  return [{ do: 'set-setting', name, value, former, without }];
}

function deviceSteps(wanted: DesiredDevice, there: ObservedDevice | undefined): Step[] {
  const settings: LinkSettings = {};
  if (there?.mtu !== wanted.mtu) settings.mtu = wanted.mtu;
  if (wanted.mac !== undefined && there?.mac !== wanted.mac) settings.mac = wanted.mac;
  if (there?.txQueueLength !== wanted.txQueueLength) settings.txQueueLength = wanted.txQueueLength;
  if (!there?.up) settings.up = true;
  const has = there?.addresses ?? [];
  const device = wanted.name;
  return [
    ...(Object.keys(settings).length > 0 ? [{ do: 'set-device', name: device, settings } as const] : []),
    ...has
      .filter(prefix => !wanted.addresses.includes(prefix))
      .map(prefix => ({ do: 'delete-address', device, prefix }) as const),
    ...wanted.addresses
      .filter(prefix => !has.includes(prefix))
      .map(prefix => ({ do: 'add-address', device, prefix }) as const),
  ];
}

function entrySteps(device: string, wanted: DesiredState, there: ObservedState): Step[] {
  const byAddress = (entry: NeighbourEntry) => entry.address;
  const byPair = (entry: ForwardingEntry) => `${entry.mac} ${entry.remote}`;
  const neighbours = compare(wanted.neighbours, there.neighbours, byAddress, (a, b) => a.mac === b.mac);
  const forwarding = compare(wanted.forwarding, there.forwarding, byPair, () => true);
  return [
    ...neighbours.stale.map(entry => ({ do: 'delete-neighbour', device, ...entry }) as const),
    ...forwarding.stale.map(entry => ({ do: 'delete-forwarding', device, ...entry }) as const),
    ...neighbours.missing.map(entry => ({ do: 'set-neighbour', device, ...entry }) as const),
    ...forwarding.missing.map(entry => ({ do: 'set-forwarding', device, ...entry }) as const),
  ];
}

function compare<T>(
  wanted: readonly T[],
  there: readonly T[],
  key: (entry: T) => string,
  same: (a: T, b: T) => boolean,
): { missing: T[]; stale: T[] } {
  const has = new Map(there.map(entry => [key(entry), entry]));
  const wants = new Set(wanted.map(key));
  const missing = wanted.filter(entry => {
    const found = has.get(key(entry));
    return found === undefined || !same(entry, found);
  });
  return { missing, stale: there.filter(entry => !wants.has(key(entry))) };
}

function routeSteps(
  wanted: readonly RouteEntry[],
  there: readonly ObservedRoute[],
  territory: Territory,
): Step[] {
  const steps: Step[] = [];
  const byDestination = new Map<string, ObservedRoute[]>();
  for (const route of there) {
    const rivals = byDestination.get(route.destination);
    if (rivals) rivals.push(route);
    else byDestination.set(route.destination, [route]);
  }
  const wants = new Set(wanted.map(route => route.destination));
  const connected = new Set(connectedRoutes(wanted, there, territory).map(route => route.destination));
  for (const route of there)
    if (isOurs(route, territory) && (!wants.has(route.destination) || connected.has(route.destination)))
      steps.push({ do: 'delete-route', route });
  for (const route of wanted) {
    const rivals = byDestination.get(route.destination) ?? [];
    if (connected.has(route.destination)) continue;
    if (rivals.some(rival => satisfies(rival, route))) continue;
    // The kernel keeps one route a metric: the one with the default metric is in the way, others are not.
    const former = rivals.find(rival => rival.metric === (rival.family === 6 ? 1024 : 0));
    steps.push({ do: 'set-route', route, former });
  }
  return steps;
}

/**
 * The routes among the wanted ones whose destination is a network that another interface is connected to. They are not
 * set, at no metric: the node would be cut off from that network.
 * @returns the routes of the kernel
 */
export function connectedRoutes(
  wanted: readonly RouteEntry[],
  there: readonly ObservedRoute[],
  territory: Territory,
): ObservedRoute[] {
  const wants = new Set(wanted.map(route => route.destination));
  return there.filter(
    route =>
      route.protocol === PROTOCOL_KERNEL && wants.has(route.destination) && route.device !== territory.device,
  );
}

function satisfies(there: ObservedRoute, wanted: RouteEntry): boolean {
  return (
    !there.special &&
    there.gateway === wanted.gateway &&
    (wanted.device === undefined || there.device === wanted.device) &&
    (!wanted.onlink || there.onlink === true)
  );
}
