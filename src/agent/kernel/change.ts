import type { LinkSettings } from '../../net/rtnetlink/link-kinds.ts';
import type { Route } from '../../net/rtnetlink/routes.ts';
import type { DesiredDevice, ForwardingEntry, NeighbourEntry, ObservedRoute, RouteEntry } from './state.ts';

/** A change of the device or of a sysctl. */
export type BaseChange =
  | { readonly do: 'create-device'; readonly device: DesiredDevice }
  | { readonly do: 'delete-device'; readonly name: string; readonly why: string }
  | { readonly do: 'set-device'; readonly name: string; readonly settings: LinkSettings }
  | { readonly do: 'add-address'; readonly device: string; readonly prefix: string }
  | { readonly do: 'delete-address'; readonly device: string; readonly prefix: string }
  | {
      readonly do: 'set-sysctl';
      readonly name: string;
      readonly value: string;
      /** undefined: the device that it belongs to does not exist yet. */
      readonly former: string | undefined;
      /** Of a sysctl that traffic does not depend on: what is different without it. */
      readonly without?: string | undefined;
    };

/** A change of an entry of a peer: such changes do not depend on one another. */
export type EntryChange =
  | ({ readonly do: 'set-neighbour'; readonly device: string } & NeighbourEntry)
  | ({ readonly do: 'delete-neighbour'; readonly device: string } & NeighbourEntry)
  | ({ readonly do: 'set-forwarding'; readonly device: string } & ForwardingEntry)
  | ({ readonly do: 'delete-forwarding'; readonly device: string } & ForwardingEntry)
  | {
      readonly do: 'set-route';
      readonly route: RouteEntry;
      readonly former: ObservedRoute | undefined;
      /** The route replaces one that we made. */
      readonly replaces?: boolean;
      /** `former` is the same route, made by flannel or manually: it becomes ours. */
      readonly adopts?: boolean;
    }
  /** `original`: the route as the kernel has it; without it, the route is one that we made. */
  | { readonly do: 'delete-route'; readonly route: RouteEntry & { readonly original?: Route } };

/** One change of the kernel's state. */
export type KernelChange = BaseChange | EntryChange;

export function isEntryChange(change: KernelChange): change is EntryChange {
  return /-(neighbour|forwarding|route)$/.test(change.do);
}

/** True for a change that removes something. Removals of entries come first, because an addition may need the place. */
export function isRemoval(change: KernelChange): boolean {
  return change.do.startsWith('delete-');
}

/** A line of `ripstop plan` for a route that is not set, because another interface is connected to its destination. */
export function describeConnected({ destination, device }: ObservedRoute): string {
  return `! route ${destination} is not set: ${device ?? 'another interface'} is connected to a network of that range`;
}

/** A line of `ripstop plan`: `+` added, `-` removed, `~` changed. */
export function describeChange(change: KernelChange): string {
  switch (change.do) {
    case 'create-device':
      return `+ device ${change.device.name} type vxlan`;
    case 'delete-device':
      return `- device ${change.name} (${change.why})`;
    case 'set-device':
      return `~ device ${change.name} ${settingWords(change.settings)}`;
    case 'add-address':
      return `+ address ${change.prefix} dev ${change.device}`;
    case 'delete-address':
      return `- address ${change.prefix} dev ${change.device}`;
    case 'set-neighbour':
      return `+ neighbour ${change.address} lladdr ${change.mac} dev ${change.device} permanent`;
    case 'delete-neighbour':
      return `- neighbour ${change.address} lladdr ${change.mac} dev ${change.device}`;
    case 'set-forwarding':
      return `+ forwarding ${change.mac} dst ${change.remote} dev ${change.device}`;
    case 'delete-forwarding':
      return `- forwarding ${change.mac} dst ${change.remote} dev ${change.device}`;
    case 'set-route':
      if (change.adopts) return `~ route ${routeWords(change.route)} (becomes Ripstop's)`;
      return change.former
        ? `~ route ${routeWords(change.route)} (was: ${routeWords(change.former)})`
        : `+ route ${routeWords(change.route)}`;
    case 'delete-route':
      return `- route ${routeWords(change.route)}`;
    case 'set-sysctl':
      return `~ setting ${change.name} = ${change.value}${change.former === undefined ? '' : ` (was ${change.former})`}`;
  }
}

function settingWords(settings: LinkSettings): string {
  return Object.entries(settings)
    .map(([name, value]) => (name === 'up' ? (value ? 'up' : 'down') : `${name} ${value}`))
    .join(' ');
}

/** A route as `ip route` prints it. */
function routeWords({ destination, gateway, device, onlink }: RouteEntry): string {
  return `${destination}${gateway ? ` via ${gateway}` : ''}${device ? ` dev ${device}` : ''}${onlink ? ' onlink' : ''}`;
}
