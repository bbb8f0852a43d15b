import type { NetEvent } from '../net/events.ts';
import type { Underlay } from './config/underlay.ts';

/** True for changes of the underlay interface and its addresses. */
export function concernsUnderlay(event: NetEvent, underlay: Underlay): boolean {
  if (event.kind === 'lost') return true;
  if (event.kind === 'link') return event.link.index === underlay.index || event.link.name === underlay.name;
  return event.kind === 'address' && event.address.link === underlay.index;
}

/** True for changes of our devices and for lost routes; pods coming and going are no concern of ours. */
export function concernsOverlay(event: NetEvent, devices: readonly (string | undefined)[]): boolean {
  if (event.kind === 'lost') return true;
  if (event.kind === 'link') return devices.includes(event.link.name);
  return event.gone && (event.kind === 'route' || (event.kind === 'neighbour' && event.neighbour.permanent));
}
