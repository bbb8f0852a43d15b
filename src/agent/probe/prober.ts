import { randomInt } from 'node:crypto';
import raw, { type Socket } from 'raw-socket';
import type { Family } from '../../ip/address.ts';

/** Bytes in front of the payload of an echo: IP header and ICMP header. */
const HEADERS: Readonly<Record<Family, number>> = { 4: 28, 6: 48 };
const ECHO_REQUEST: Readonly<Record<Family, number>> = { 4: 8, 6: 128 };
const ECHO_REPLY: Readonly<Record<Family, number>> = { 4: 0, 6: 129 };

/** linux/in.h, linux/in6.h: level and option of IP_MTU_DISCOVER, whose value PROBE sets DF and ignores the known path MTU. */
const DO_NOT_FRAGMENT: Readonly<Record<Family, readonly [level: number, option: number]>> = {
  4: [0, 10],
  6: [41, 23],
};
const PROBE = 3;

/** Sends ICMP echoes that must not be fragmented, and waits for their answers. Needs CAP_NET_RAW. */
export class Prober {
  readonly #sockets = new Map<Family, Socket>();
  readonly #id = randomInt(1, 0xffff);
  readonly #waiting = new Map<number, () => void>();
  #sequence = 0;

  /**
   * One echo.
   * @param bytes size of the whole IP packet
   * @returns milliseconds until the answer; undefined when there was none, or the packet could not be sent
   */
  async echo(address: string, bytes: number, timeoutMs: number): Promise<number | undefined> {
    const family: Family = address.includes(':') ? 6 : 4;
    const message = Buffer.alloc(Math.max(8, bytes - HEADERS[family] + 8));
    this.#sequence = (this.#sequence + 1) & 0xffff;
    const sequence = this.#sequence;
    message.writeUInt8(ECHO_REQUEST[family], 0);
    message.writeUInt16BE(this.#id, 4);
    message.writeUInt16BE(sequence, 6);
    // The kernel fills in the checksum of ICMPv6: it covers the source address, which the kernel chooses.
    if (family === 4) raw.writeChecksum(message, 2, raw.createChecksum(message));
    const from = performance.now();
    return new Promise(resolve => {
      const end = (ms: number | undefined): void => {
        clearTimeout(timer);
        this.#waiting.delete(sequence);
        resolve(ms);
      };
      const timer = setTimeout(() => end(undefined), timeoutMs);
      this.#waiting.set(sequence, () => end(performance.now() - from));
      this.#socket(family).send(message, 0, message.length, address, error => {
        if (error) end(undefined);
      });
    });
  }

  /**
   * The largest IP packet that `address` answers, between a size that is known to pass and one that is known not to.
   * A dozen echoes at most.
   */
  async probePathMtu(address: string, passes: number, fails: number, timeoutMs: number): Promise<number> {
    let [low, high] = [passes, fails];
    for (let tries = 0; high - low > 1 && tries < 12; tries++) {
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

  #socket(family: Family): Socket {
    const known = this.#sockets.get(family);
    if (known) return known;
    const socket = raw.createSocket(
      family === 4
        ? { protocol: raw.Protocol.ICMP, addressFamily: raw.AddressFamily.IPv4 }
        : { protocol: raw.Protocol.ICMPv6, addressFamily: raw.AddressFamily.IPv6 },
    );
    socket.setOption(...DO_NOT_FRAGMENT[family], PROBE);
    socket.on('message', (packet: Buffer) => this.#onReply(family, packet));
    // The package closes a socket after an error; the next echo opens another.
    socket.on('error', () => this.#sockets.delete(family));
    this.#sockets.set(family, socket);
    return socket;
  }

  #onReply(family: Family, packet: Buffer): void {
    // IPv4 sockets get the IP header as well, IPv6 sockets do not.
    const at = family === 4 && packet.length > 0 ? (packet.readUInt8(0) & 15) * 4 : 0;
    if (
      packet.length < at + 8 ||
      packet[at] !== ECHO_REPLY[family] ||
      packet.readUInt16BE(at + 4) !== this.#id
    )
      return;
    this.#waiting.get(packet.readUInt16BE(at + 6))?.();
  }
}
