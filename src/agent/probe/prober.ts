import { randomInt } from 'node:crypto';
import { viewOf } from '../../../encap/wire/addresses.ts';
import * as checksum from '../../../encap/wire/checksum.ts';
import type { Family } from '../../ip/address.ts';
import { type EchoSocket, type EchoSockets, findEchoSockets } from '../../net/echo-socket.ts';

/** Bytes in front of the payload of an echo: IP header and ICMP header. */
const HEADERS: Readonly<Record<Family, number>> = { 4: 28, 6: 48 };
const ECHO_REQUEST: Readonly<Record<Family, number>> = { 4: 8, 6: 128 };
const ECHO_REPLY: Readonly<Record<Family, number>> = { 4: 0, 6: 129 };

/** Sends ICMP echoes that must not be fragmented, and waits for their answers. Needs CAP_NET_RAW. */
export class Prober {
  /** What is wrong with a package `raw-socket` that is installed and does not load; the addon's sockets are used then. */
  readonly fault: string | undefined;
  readonly #kind: EchoSockets;
  readonly #sockets = new Map<Family, EchoSocket>();
  readonly #id = randomInt(1, 0xffff);
  readonly #waiting = new Map<number, (arrived: number) => void>();
  #sequence = 0;

  constructor({ sockets, fault }: ReturnType<typeof findEchoSockets> = findEchoSockets()) {
    this.#kind = sockets;
    this.fault = fault;
  }

  /** What the sockets are made of. */
  get socketKind(): EchoSockets['name'] {
    return this.#kind.name;
  }

  /**
   * One echo.
   * @param bytes size of the whole IP packet
   * @returns milliseconds until the answer; undefined when there was none, or the packet could not be sent
   * @throws when this process may not open raw sockets
   */
  async echo(address: string, bytes: number, timeoutMs: number): Promise<number | undefined> {
    const family: Family = address.includes(':') ? 6 : 4;
    const socket = this.#socket(family);
    const message = Buffer.alloc(Math.max(8, bytes - HEADERS[family] + 8));
    this.#sequence = (this.#sequence + 1) & 0xffff;
    const sequence = this.#sequence;
    message.writeUInt8(ECHO_REQUEST[family], 0);
    message.writeUInt16BE(this.#id, 4);
    message.writeUInt16BE(sequence, 6);
    // The kernel fills in the checksum of ICMPv6: it covers the source address, which the kernel chooses.
    if (family === 4)
      message.writeUInt16BE(checksum.finish(checksum.sum(viewOf(message), 0, message.length, 0)), 2);
    return new Promise(resolve => {
      const end = (ms: number | undefined): void => {
        clearTimeout(timer);
        this.#waiting.delete(sequence);
        resolve(ms);
      };
      const timer = setTimeout(() => end(undefined), timeoutMs);
      const sent = performance.now();
      this.#waiting.set(sequence, arrived => end(Math.max(0, arrived - sent)));
      socket.send(address, message, () => end(undefined));
    });
  }

  /**
   * The largest IP packet that `address` answers, between a size that is known to pass and one that is known not to.
   * Sixteen echoes at most.
   */
  async probePathMtu(address: string, passes: number, fails: number, timeoutMs: number): Promise<number> {
    let [low, high] = [passes, fails];
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if ((await this.echo(address, middle, timeoutMs)) === undefined) high = middle;
      else low = middle;
    }
    return low;
  }

  close(): void {
    for (const socket of this.#sockets.values()) socket.close();
    this.#sockets.clear();
  }

  #socket(family: Family): EchoSocket {
    const known = this.#sockets.get(family);
    if (known) return known;
    const socket = this.#kind.open(family, this.#id, {
      onPacket: (packet, ageMs) => this.#onPacket(family, viewOf(packet), performance.now() - ageMs),
      // The next echo opens another.
      onFailure: () => this.#sockets.delete(family),
      isWaiting: () => this.#waiting.size > 0,
    });
    this.#sockets.set(family, socket);
    return socket;
  }

  #onPacket(family: Family, packet: DataView, arrived: number): void {
    const at = family === 4 && packet.byteLength > 0 ? (packet.getUint8(0) & 15) * 4 : 0;
    if (
      packet.byteLength < at + 8 ||
      packet.getUint8(at) !== ECHO_REPLY[family] ||
      packet.getUint16(at + 4) !== this.#id
    )
      return;
    this.#waiting.get(packet.getUint16(at + 6))?.(arrived);
  }
}
