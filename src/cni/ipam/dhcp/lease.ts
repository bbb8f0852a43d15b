import { contained } from '../../../base/boundary.ts';
import { messageOf } from '../../../base/errors.ts';
import { macBytes } from '../../../ip/mac.ts';
import { isNetError } from '../../../net/error.ts';
import { PacketSocket } from '../../../net/packet/packet-socket.ts';
import { changeLink, findLink, type Link } from '../../../net/rtnetlink/links.ts';
import { listNeighbours } from '../../../net/rtnetlink/neighbours.ts';
import { withSocket } from '../../../net/rtnetlink/socket.ts';
import type { Result } from '../../result/types.ts';
import { type Client, clientIdOf, extend, type Grant, release } from './exchange.ts';
import type { StoredLease } from './lease-files.ts';
import { INFINITE_S, leaseResult, leaseTimes } from './reply-options.ts';

/** Longest timer of Node, ms. */
const TIMER_MAX = 0x7fffffff;
/** Between two tries to extend: half of what is left, not less than this (RFC 2131 section 4.4.5), ms. */
const LEAST_RETRY_MS = 60_000;

export interface LeaseEvents {
  now(): number;
  log(line: string): void;
  /** Longest wait for the answer to one message, ms. */
  requestMs: number;
  /** Terms have changed: to be written down. */
  renewed(lease: StoredLease): void;
  /** The lease has ended or its interface is gone. */
  ended(lease: StoredLease): void;
}

/** @param mac of the interface now: another plugin may have changed it, and answers go there */
export function clientOf(lease: StoredLease, mac: string | undefined): Client {
  return {
    mac: macBytes(mac ?? '00:00:00:00:00:00'),
    id: clientIdOf(lease.containerId, lease.network, lease.ifname),
    provide: lease.provide,
    request: lease.request,
  };
}

const optionsOf = (lease: StoredLease) =>
  new Map(lease.options.map(({ code, hex }) => [code, Buffer.from(hex, 'hex')]));

/** The terms of an acknowledgement, in the form in which they are stored. */
export function withTerms(lease: StoredLease, terms: Grant, now: number): StoredLease {
  const options = [...terms.options].map(([code, value]) => ({
    code,
    hex: Buffer.from(value).toString('hex'),
  }));
  return { ...lease, address: terms.address, server: terms.server, options, grantedAt: now };
}

export function resultOf(lease: StoredLease): Result {
  return leaseResult(lease.address, optionsOf(lease), lease.priority);
}

/** Extends one lease in time, and ends it when its interface is gone. */
export class DhcpLease {
  stored: StoredLease;
  readonly #events: LeaseEvents;
  #timer: NodeJS.Timeout | undefined;
  #isOver = false;

  constructor(stored: StoredLease, events: LeaseEvents) {
    this.stored = stored;
    this.#events = events;
    this.#schedule(0);
  }

  /** Time at which `seconds` of the lease have passed, ms since 1970. */
  #at(seconds: number): number {
    return this.stored.grantedAt + seconds * 1000;
  }

  /** @param least shortest wait, ms */
  #schedule(least: number): void {
    const { lease, t1 } = leaseTimes(optionsOf(this.stored));
    if (this.#isOver || lease === INFINITE_S) return;
    const wait = Math.max(least, this.#at(t1) - this.#events.now(), 0);
    const extend = (): void => {
      this.#extend().catch(error => {
        // As when the lease cannot be written on a full disk: it is tried again, and the other leases go on.
        contained('dhcp', error);
        this.#schedule(LEAST_RETRY_MS);
      });
    };
    this.#timer = setTimeout(extend, Math.min(wait, TIMER_MAX));
    // The daemon's socket keeps the process alive, not its timers.
    this.#timer.unref();
  }

  /** The interface that has the lease, if it is still the same one. */
  #link(): Link | undefined {
    try {
      const link = withSocket(this.stored.netns, socket => findLink(socket, this.stored.ifname));
      return link?.index === this.stored.link ? link : undefined;
    } catch (error) {
      if (isNetError(error)) return undefined;
      throw error;
    }
  }

  async #extend(): Promise<void> {
    const { lease, t1, t2 } = leaseTimes(optionsOf(this.stored));
    const { now, log, requestMs } = this.#events;
    if (now() < this.#at(t1)) return this.#schedule(0);
    const link = this.#link();
    if (!link) return this.#finish('its interface is gone');
    if (now() >= this.#at(lease)) return this.#expire(link, 'it was not extended in time');
    let terms: Grant | 'refused' | undefined;
    try {
      terms = await this.#talk(link, transport => {
        const server = now() < this.#at(t2) ? this.#server(link) : undefined;
        return extend(transport, clientOf(this.stored, link.mac), this.stored.address, server, requestMs);
      });
    } catch (error) {
      log(`dhcp: ${this.stored.address}: ${messageOf(error)}`);
    }
    if (this.#isOver) return;
    if (terms === 'refused' || (terms && terms.address !== this.stored.address)) {
      return this.#expire(link, 'the server refuses it');
    }
    if (!terms) {
      const limit = now() < this.#at(t2) ? this.#at(t2) : this.#at(lease);
      return this.#schedule(
        Math.max(0, Math.min(Math.max((limit - now()) / 2, LEAST_RETRY_MS), limit - now())),
      );
    }
    this.stored = withTerms(this.stored, terms, now());
    this.#events.renewed(this.stored);
    this.#schedule(0);
  }

  #server(link: Link): { ip: string; mac: Uint8Array | undefined } {
    const { netns, server } = this.stored;
    const known = withSocket(netns, socket => listNeighbours(socket, { link: link.index, family: 4 }));
    const mac = known.find(one => one.address === server)?.mac;
    return { ip: server, mac: mac ? macBytes(mac) : undefined };
  }

  async #talk<T>(link: Link, work: (transport: PacketSocket) => T | Promise<T>): Promise<T> {
    const transport = new PacketSocket(this.stored.netns, link.index);
    try {
      return await work(transport);
    } finally {
      transport.close();
    }
  }

  /** An address without a lease must not be used: the interface is set down, as the reference daemon does. */
  #expire(link: Link, why: string): void {
    this.#events.log(
      `dhcp: lease of ${this.stored.address} has ended: ${why}; ${this.stored.ifname} is set down`,
    );
    withSocket(this.stored.netns, socket => changeLink(socket, link.index, { up: false }));
    this.#finish(why);
  }

  #finish(why: string): void {
    this.stop();
    this.#events.log(`dhcp: stopped extending the lease of ${this.stored.address}: ${why}`);
    this.#events.ended(this.stored);
  }

  /** Releases the address if the interface still exists. */
  async release(): Promise<void> {
    this.stop();
    const link = this.#link();
    if (!link?.up) return;
    try {
      await this.#talk(link, transport =>
        release(transport, clientOf(this.stored, link.mac), this.stored.address, this.#server(link)),
      );
    } catch (error) {
      this.#events.log(`dhcp: ${this.stored.address} could not be released: ${messageOf(error)}`);
    }
  }

  /** Stops extending the lease without releasing it. */
  stop(): void {
    this.#isOver = true;
    clearTimeout(this.#timer);
  }
}
