import { constants } from 'node:os';
import { native } from '../../native/load.ts';
import { inNamespace, NetError } from '../error.ts';

const MAX_PACKET = 65536;

/** IPv4 packets of one interface, sent and received below the kernel's own addresses. Cold: DHCP. */
export class PacketSocket {
  readonly #link: number;
  readonly #fd: number;
  readonly #buffer = new Uint8Array(MAX_PACKET);

  /** @param link index of the interface in `netns`. @throws NetError */
  constructor(netns: string, link: number) {
    this.#link = link;
    this.#fd = inNamespace(
      netns,
      `open a packet socket on device ${link}`,
      () => native.packetOpen(netns, link),
      'CAP_NET_RAW',
    );
  }

  /** Sends one packet to a MAC address. @throws NetError ENETDOWN while the interface is down */
  send(mac: Uint8Array, packet: Uint8Array): void {
    const sent = native.packetSend(this.#fd, this.#link, mac, packet);
    if (sent < 0) throw new NetError(-sent, `send a packet on device ${this.#link}`);
  }

  /** The next packet, a copy; undefined when none is there. @throws NetError ENETDOWN, ENODEV */
  receive(): Uint8Array | undefined {
    const count = native.packetReceive(this.#fd, this.#buffer);
    if (count === -constants.errno.EAGAIN || count === -constants.errno.EINTR) return undefined;
    if (count < 0) throw new NetError(-count, `receive a packet on device ${this.#link}`);
    return this.#buffer.slice(0, count);
  }

  close(): void {
    native.closeFd(this.#fd);
  }
}
