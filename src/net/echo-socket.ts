import type { Family } from '../ip/address.ts';
import { loadOptionalPackage } from '../native/optional-package.ts';
import { IcmpEchoSocket } from './icmp-echo-socket.ts';

/*
 * The raw ICMP sockets of the probes: those of the package `raw-socket` where the user has installed it, else those of our
 * addon.
 */

/** A raw ICMP socket of one family, whose packets are never fragmented. */
export interface EchoSocket {
  /**
   * Sends one ICMP message. The kernel fills in the checksum of ICMPv6.
   * @param failed called when the message cannot be sent, as when it is larger than the MTU of the link
   */
  send(address: string, message: Buffer, failed: () => void): void;
  close(): void;
}

/** The user of a socket. */
export interface EchoListener {
  /**
   * An echo reply has arrived; with the package `raw-socket`, perhaps one for another program.
   * @param packet from the IP header on for IPv4, from the ICMP header on for IPv6; valid during the call
   * @param ageMs milliseconds since it arrived
   */
  onPacket(packet: Uint8Array, ageMs: number): void;
  /** The socket has failed and is closed. */
  onFailure(): void;
  /** True while a reply is missing. */
  isWaiting(): boolean;
}

/** One implementation. `open` throws when this process may not open raw sockets. */
export interface EchoSockets {
  readonly name: 'raw-socket' | 'addon';
  /** @param id identifier of the echoes, 16 bits */
  open(family: Family, id: number, listener: EchoListener): EchoSocket;
}

/** The part of the package `raw-socket` that the probes use; it brings no types of its own. */
interface RawSocketPackage {
  readonly Protocol: { readonly ICMP: number; readonly ICMPv6: number };
  readonly AddressFamily: { readonly IPv4: number; readonly IPv6: number };
  createSocket(options: { protocol: number; addressFamily: number }): RawSocket;
}

interface RawSocket {
  setOption(level: number, option: number, value: number): void;
  setOption(level: number, option: number, value: Buffer, length: number): void;
  send(
    buffer: Buffer,
    offset: number,
    length: number,
    address: string,
    done: (error: Error | null, bytes: number) => void,
  ): void;
  on(event: 'message', listener: (packet: Buffer) => void): void;
  on(event: 'error', listener: (error: Error) => void): void;
  close(): void;
}

/**
 * The implementation that this installation has.
 * @param load replaces the search for the package, for tests
 * @returns it, and what is wrong with a `raw-socket` that is installed and does not load
 */
export function findEchoSockets(load?: (name: string) => unknown): { sockets: EchoSockets; fault?: string } {
  const found = loadOptionalPackage<RawSocketPackage>('raw-socket', load);
  if ('loaded' in found) return { sockets: packagedSockets(found.loaded) };
  const { isAbsent, reason } = found.missing;
  return { sockets: addonSockets, ...(isAbsent ? {} : { fault: reason }) };
}

/** linux/in.h, linux/in6.h: level and option of IP_MTU_DISCOVER, whose value PROBE sets DF and ignores the known path MTU. */
const DO_NOT_FRAGMENT: Readonly<Record<Family, readonly [level: number, option: number]>> = {
  4: [0, 10],
  6: [41, 23],
};
const PROBE = 3;

/**
 * linux/icmp.h, linux/icmpv6.h: level and option of the filters by type. A bit that is set keeps packets of that type from the
 * socket: without a filter, each ICMP packet to the node would cost time of the main thread.
 */
const TYPE_FILTER: Readonly<Record<Family, readonly [level: number, option: number]>> = {
  4: [255, 1],
  6: [58, 1],
};

/** The filter that lets echo replies pass (types 0 and 129). */
function echoRepliesOnly(family: Family): Buffer {
  const words = new Uint32Array(family === 4 ? 1 : 8).fill(0xffffffff);
  const type = family === 4 ? 0 : 129;
  words[type >> 5] = (words[type >> 5] ?? 0) & ~(1 << (type & 31));
  return Buffer.from(words.buffer);
}

function packagedSockets({ createSocket, Protocol, AddressFamily }: RawSocketPackage): EchoSockets {
  const open = (family: Family, _id: number, listener: EchoListener): EchoSocket => {
    const socket = createSocket(
      family === 4
        ? { protocol: Protocol.ICMP, addressFamily: AddressFamily.IPv4 }
        : { protocol: Protocol.ICMPv6, addressFamily: AddressFamily.IPv6 },
    );
    socket.setOption(...DO_NOT_FRAGMENT[family], PROBE);
    const filter = echoRepliesOnly(family);
    socket.setOption(...TYPE_FILTER[family], filter, filter.length);
    socket.on('message', packet => listener.onPacket(packet, 0));
    socket.on('error', () => {
      // The package closes the socket after some errors only; closing it again is allowed.
      socket.close();
      listener.onFailure();
    });
    return {
      send: (address, message, failed) =>
        socket.send(message, 0, message.length, address, error => {
          if (error) failed();
        }),
      close: () => socket.close(),
    };
  };
  return { name: 'raw-socket', open };
}

/** Milliseconds between two looks for a reply that is missing. The kernel's time stamp tells when it arrived. */
const POLL_MS = 5;
/** Packets of one look at most: an attacker may guess the identifier. */
const PACKETS_PER_LOOK = 4096;

/** Sockets of the addon. They are read while a reply is missing, and cost nothing in between. */
class AddonSocket implements EchoSocket {
  readonly #socket: IcmpEchoSocket;
  readonly #listener: EchoListener;
  #timer: NodeJS.Timeout | undefined;
  #isOpen = true;

  constructor(family: Family, id: number, listener: EchoListener) {
    this.#socket = new IcmpEchoSocket('', family, id);
    this.#listener = listener;
  }

  send(address: string, message: Buffer, failed: () => void): void {
    // Replies that came too late: they would leave no room for others.
    if (this.#timer === undefined) this.#look();
    if (this.#isOpen && this.#isSent(address, message)) this.#wait();
    else failed();
  }

  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    clearTimeout(this.#timer);
    this.#socket.close();
  }

  #isSent(address: string, message: Buffer): boolean {
    try {
      this.#socket.send(address, message);
      return true;
    } catch {
      return false;
    }
  }

  #wait(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#look();
      if (this.#isOpen && this.#listener.isWaiting()) this.#wait();
    }, POLL_MS);
  }

  #look(): void {
    try {
      for (let left = PACKETS_PER_LOOK; left > 0; left--) {
        const reply = this.#socket.receive();
        if (!reply) return;
        this.#listener.onPacket(reply.packet, reply.ageMs);
      }
    } catch {
      this.close();
      this.#listener.onFailure();
    }
  }
}

const addonSockets: EchoSockets = {
  name: 'addon',
  open: (family, id, listener) => new AddonSocket(family, id, listener),
};
