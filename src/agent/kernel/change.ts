import type { LinkSettings } from '../../net/rtnetlink/link-kinds.ts';
import type { Route } from '../../net/rtnetlink/routes.ts';
import type { DesiredDevice, ForwardingEntry, NeighbourEntry, ObservedRoute, RouteEntry } from './state.ts';

/** One change of the kernel's state. */
export type KernelChange =
  | { readonly do: 'create-device'; readonly device: DesiredDevice }
  | { readonly do: 'delete-device'; readonly name: string; readonly why: string }
  | { readonly do: 'set-device'; readonly name: string; readonly settings: LinkSettings }
  | { readonly do: 'add-address'; readonly device: string; readonly prefix: string }
  | { readonly do: 'delete-address'; readonly device: string; readonly prefix: string }
  | ({ readonly do: 'set-neighbour'; readonly device: string } & NeighbourEntry)
  | ({ readonly do: 'delete-neighbour'; readonly device: string } & NeighbourEntry)
  | ({ readonly do: 'set-forwarding'; readonly device: string } & ForwardingEntry)
  | ({ readonly do: 'delete-forwarding'; readonly device: string } & ForwardingEntry)
  | {
      readonly do: 'set-route';
      readonly route: RouteEntry;
      readonly former: ObservedRoute | undefined;
      /** It takes the place of a route that we made. */
      readonly replaces?: boolean;
    }
  /** `original`: as the kernel has it; without one it is a route that we made. */
  | { readonly do: 'delete-route'; readonly route: RouteEntry & { readonly original?: Route } }
  | {
      readonly do: 'set-sysctl';
      readonly name: string;
      readonly value: string;
      /** undefined: the device that it belongs to is not there yet. */
      readonly former: string | undefined;
      /** Of a setting that traffic does not depend on: what is different without it. */
      readonly without?: string | undefined;
    };

/** True for a change that takes something away: these come first, so that what replaces it finds its place free. */
export function isRemoval(change: KernelChange): boolean {
  return change.do.startsWith('delete-');
}

/** A route in the words of `ip route`. */
export function routeWords(route: RouteEntry): string {
  const words = [route.destination];
  if (route.gateway) words.push('via', route.gateway);
  if (route.device) words.push('dev', route.device);
  if (route.onlink) words.push('onlink');
  return words.join(' ');
}

/** One line for `ripstop plan` on a route that is not set because the kernel has a connected one. */
export function describeConnected({ destination, device }: ObservedRoute): string {
  return `! route ${destination} is not set: ${device ?? 'another interface'} is connected to a network of that range`;
}

/** One line for `ripstop plan`: `+` made, `-` removed, `~` changed. */
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
