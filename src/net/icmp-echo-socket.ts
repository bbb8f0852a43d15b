import { constants } from 'node:os';
import { type Family, mappedBytesOf, requireAddress } from '../ip/address.ts';
import { native } from '../native/load.ts';
import { inNamespace, NetError } from './error.ts';

const MAX_PACKET = 65536;

/** An echo reply as the raw socket delivers it. */
export interface EchoReply {
  /** From the IP header on for IPv4, from the ICMP header on for IPv6. Valid until the next call of `receive`. */
  readonly packet: Uint8Array;
  /** Milliseconds since the kernel received it. */
  readonly ageMs: number;
}

/**
 * A raw ICMP socket of the addon: sends echo requests that are never fragmented, and receives their replies only. Needs
 * CAP_NET_RAW. Cold: the probes.
 */
export class IcmpEchoSocket {
  readonly #fd: number;
  readonly #name: string;
  readonly #buffer = new Uint8Array(MAX_PACKET);
  readonly #age = new Int32Array(1);

  /**
   * @param netns path of the namespace, '' for the caller's own
   * @param id identifier of the echoes, 16 bits: replies with another one are not received
   * @throws NetError
   */
  constructor(netns: string, family: Family, id: number) {
    this.#name = family === 4 ? 'ICMP' : 'ICMPv6';
    this.#fd = inNamespace(
      netns,
      `open a raw ${this.#name} socket`,
      () => native.echoOpen(netns, family, id),
      'CAP_NET_RAW',
    );
  }

  /**
   * Sends one ICMP message of this socket's family. The kernel fills in the checksum of ICMPv6.
   * @throws NetError EMSGSIZE for a message larger than the MTU of the link, ENETUNREACH
   */
  send(address: string, message: Uint8Array): void {
    const sent = native.rawSend(this.#fd, mappedBytesOf(requireAddress(address)), message);
    if (sent < 0) throw new NetError(-sent, `send ${this.#name} to ${address}`);
  }

  /** The next reply; undefined when none is there. @throws NetError */
  receive(): EchoReply | undefined {
    for (;;) {
      const count = native.echoReceive(this.#fd, this.#buffer, this.#age);
      if (count === -constants.errno.EINTR) continue;
      if (count === -constants.errno.EAGAIN) return undefined;
      if (count < 0) throw new NetError(-count, `receive ${this.#name}`);
      return { packet: this.#buffer.subarray(0, count), ageMs: (this.#age[0] ?? 0) / 1000 };
    }
  }

  close(): void {
    native.closeFd(this.#fd);
  }
}
