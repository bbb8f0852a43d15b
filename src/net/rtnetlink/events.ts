import { AF_BRIDGE, AF_INET, AF_INET6 } from '../address-bytes.ts';
import { isNetError } from '../error.ts';
import { type InterfaceAddress, RTM_DELADDR, RTM_NEWADDR, readAddress } from './addresses.ts';
import { type Link, RTM_DELLINK, RTM_NEWLINK, readLink } from './links.ts';
import type { Message } from './message.ts';
import { type Neighbour, RTM_DELNEIGH, RTM_NEWNEIGH, readNeighbour } from './neighbours.ts';
import { type Route, RTM_DELROUTE, RTM_NEWROUTE, readRoute } from './routes.ts';
import { NetlinkSocket } from './socket.ts';

/** Group masks (RTMGRP_* of linux/rtnetlink.h) by kind of event. */
const GROUPS = {
  link: 0x1,
  neighbour: 0x4,
  address: 0x10 | 0x100,
  route: 0x40 | 0x400,
} as const;
type EventKind = keyof typeof GROUPS;

/** One change in the kernel. `lost`: the kernel dropped events, so the state must be read again. */
export type NetEvent =
  | { readonly kind: 'link'; readonly gone: boolean; readonly link: Link }
  | { readonly kind: 'address'; readonly gone: boolean; readonly address: InterfaceAddress }
  | { readonly kind: 'route'; readonly gone: boolean; readonly route: Route }
  | { readonly kind: 'neighbour'; readonly gone: boolean; readonly neighbour: Neighbour }
  | { readonly kind: 'lost' };

const LOST: NetEvent = { kind: 'lost' };

/** The event in a message, undefined for events of bridge ports and forwarding tables. */
export function readEvent(message: Message): NetEvent | undefined {
  const family = message.payload[0];
  switch (message.type) {
    case RTM_NEWLINK:
    case RTM_DELLINK:
      // Messages of AF_BRIDGE are about bridge ports: a DELLINK there means that the link is no longer a port.
      return family === AF_BRIDGE
        ? undefined
        : { kind: 'link', gone: message.type === RTM_DELLINK, link: readLink(message) };
    case RTM_NEWADDR:
    case RTM_DELADDR:
      return { kind: 'address', gone: message.type === RTM_DELADDR, address: readAddress(message) };
    case RTM_NEWROUTE:
    case RTM_DELROUTE:
      return { kind: 'route', gone: message.type === RTM_DELROUTE, route: readRoute(message) };
    case RTM_NEWNEIGH:
    case RTM_DELNEIGH:
      return family === AF_INET || family === AF_INET6
        ? { kind: 'neighbour', gone: message.type === RTM_DELNEIGH, neighbour: readNeighbour(message) }
        : undefined;
    default:
      return undefined;
  }
}

/**
 * Events of one namespace. The owner polls it with `drain`; every few hundred milliseconds is enough, because the kernel
 * buffers megabytes of events.
 */
export class EventSocket {
  readonly #socket: NetlinkSocket;

  /** @throws NetError when the namespace cannot be entered */
  constructor(netns: string, kinds: readonly EventKind[]) {
    const groups = kinds.reduce((mask, kind) => mask | GROUPS[kind], 0);
    this.#socket = new NetlinkSocket({ netns, groups });
  }

  /** The events since the last call, at most `limit` datagrams. Never blocks. */
  drain(limit = 4096): NetEvent[] {
    const events: NetEvent[] = [];
    for (let i = 0; i < limit; i++) {
      try {
        const messages = this.#socket.receive(0);
        if (messages.length === 0) break;
        for (const message of messages) {
          const event = readEvent(message);
          if (event) events.push(event);
        }
      } catch (error) {
        if (!isNetError(error, 'ENOBUFS')) throw error;
        if (events.at(-1) !== LOST) events.push(LOST);
      }
    }
    return events;
  }

  close(): void {
    this.#socket.close();
  }
}
