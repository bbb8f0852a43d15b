import type { LinkSettings } from '../../net/rtnetlink/link-kinds.ts';
import type { Route } from '../../net/rtnetlink/routes.ts';
import type { DesiredDevice, ForwardingEntry, NeighbourEntry, ObservedRoute, RouteEntry } from './state.ts';

/** One change of the kernel's state. */
export type Step =
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
      readonly do: 'set-setting';
      readonly name: string;
      readonly value: string;
      /** undefined: the device that it belongs to is not there yet. */
      readonly former: string | undefined;
      /** Of a setting that traffic does not depend on: what is different without it. */
      readonly without?: string | undefined;
    };

/** True for a step that takes something away: these come first, so that what replaces it finds its place free. */
export function isRemoval(step: Step): boolean {
  return step.do.startsWith('delete-');
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
export function describeStep(step: Step): string {
  switch (step.do) {
    case 'create-device':
      return `+ device ${step.device.name} type vxlan`;
    case 'delete-device':
      return `- device ${step.name} (${step.why})`;
    case 'set-device':
      return `~ device ${step.name} ${settingWords(step.settings)}`;
    case 'add-address':
      return `+ address ${step.prefix} dev ${step.device}`;
    case 'delete-address':
      return `- address ${step.prefix} dev ${step.device}`;
    case 'set-neighbour':
      return `+ neighbour ${step.address} lladdr ${step.mac} dev ${step.device} permanent`;
    case 'delete-neighbour':
      return `- neighbour ${step.address} lladdr ${step.mac} dev ${step.device}`;
    case 'set-forwarding':
      return `+ forwarding ${step.mac} dst ${step.remote} dev ${step.device}`;
    case 'delete-forwarding':
      return `- forwarding ${step.mac} dst ${step.remote} dev ${step.device}`;
    case 'set-route':
      return step.former
        ? `~ route ${routeWords(step.route)} (was: ${routeWords(step.former)})`
        : `+ route ${routeWords(step.route)}`;
    case 'delete-route':
      return `- route ${routeWords(step.route)}`;
    case 'set-setting':
      return `~ setting ${step.name} = ${step.value}${step.former === undefined ? '' : ` (was ${step.former})`}`;
  }
}

function settingWords(settings: LinkSettings): string {
  return Object.entries(settings)
    .map(([name, value]) => (name === 'up' ? (value ? 'up' : 'down') : `${name} ${value}`))
    .join(' ');
}
