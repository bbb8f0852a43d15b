import type { Log } from '../base/log.ts';
import { native } from '../native/load.ts';
import type { PathMtus } from './slow-path/path-mtu.ts';

/** Whether an IP packet of `bytes` that must not be fragmented is answered by `address`. */
export type PathProbe = (address: string, bytes: number) => Promise<boolean>;

interface TrustOptions {
  readonly log: Log;
  readonly paths: PathMtus;
  readonly family: 4 | 6;
  /** Sockets that send with DF. */
  readonly senders: readonly number[];
  readonly probe: PathProbe;
}

/**
 * Decides whether ICMP errors about the path MTU are believed. The kernel believes each one that quotes an address and a
 * port of ours, and refuses larger packets for ten minutes. A packet of full size that is answered refutes such an error:
 * from then on the sockets ignore what ICMP reports, and a smaller path MTU counts only when a probe of the present size is
 * not answered (RFC 8899).
 */
export class PathTrust {
  readonly #options: TrustOptions;
  readonly #probing = new Set<number>();
  #isLost = false;

  constructor(options: TrustOptions) {
    this.#options = options;
  }

  /** True when ICMP errors were refuted: the kernel's path MTUs are hints. */
  get isLost(): boolean {
    return this.#isLost;
  }

  /**
   * The kernel refuses full packets to the peer in `slot`, because of an ICMP error or of its own interface.
   * @returns true when a packet of full size was answered, so that the error was wrong; undefined while another probe of this
   *   peer is under way
   */
  async isRefuted(
    slot: number,
    peer: { readonly id: string; readonly address: string },
  ): Promise<boolean | undefined> {
    const { paths, log } = this.#options;
    const full = paths.ceiling(slot);
    if (full === undefined) return false;
    const isAnswered = await this.#passes(slot, peer.address, full);
    if (!isAnswered) return isAnswered;
    if (!this.#isLost)
      log.warn(
        { peer: peer.id, bytes: full },
        'an ICMP error reported a smaller path MTU, but full packets arrive: path MTUs now count only if a probe confirms them',
      );
    this.#isLost = true;
    for (const fd of this.#options.senders) native.udpIgnorePathMtu(fd, this.#options.family);
    return true;
  }

  /** True when the kernel's smaller path MTU is right: packets of the present size are not answered. */
  async isConfirmed(slot: number, address: string, present: number): Promise<boolean> {
    return (await this.#passes(slot, address, present)) === false;
  }

  /** Undefined while another probe of this peer is under way. */
  async #passes(slot: number, address: string, bytes: number): Promise<boolean | undefined> {
    if (this.#probing.has(slot)) return undefined;
    this.#probing.add(slot);
    try {
      return await this.#options.probe(address, bytes);
    } catch {
      return false;
    } finally {
      this.#probing.delete(slot);
    }
  }
}
