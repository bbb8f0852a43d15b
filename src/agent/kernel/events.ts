import type { NetEvent } from '../../net/rtnetlink/events.ts';
import type { Underlay } from '../inputs/underlay.ts';
import { PROTOCOL_RIPSTOP } from './state.ts';

/** True for changes of the underlay interface and its addresses. */
export function affectsUnderlay(event: NetEvent, underlay: Underlay): boolean {
  if (event.kind === 'lost') return true;
  if (event.kind === 'link') return event.link.index === underlay.index || event.link.name === underlay.name;
  return event.kind === 'address' && event.address.link === underlay.index;
}

/** True for changes of the addresses of the underlay interface and of the subnets that it is connected to. */
export function affectsReach(event: NetEvent, { index }: Underlay): boolean {
  if (event.kind === 'address') return event.address.link === index;
  if (event.kind !== 'route') return false;
  const { link, gateway, protocol } = event.route;
  return link === index && gateway === undefined && protocol !== PROTOCOL_RIPSTOP;
}
