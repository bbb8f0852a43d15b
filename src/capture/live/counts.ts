import type { InterfaceStatistics, Packet } from '../format/packet.ts';

/** Counts of a running capture by interface, for its statistics blocks and its last line. */
export class CaptureCounts {
  readonly #started: bigint;
  readonly #now: () => bigint;
  readonly #interfaces: { received: number; dropped: number; accepted: number; delivered: number }[];

  /** @param now nanoseconds since 1970-01-01 UTC */
  constructor(interfaces: number, now: () => bigint = () => BigInt(Date.now()) * 1_000_000n) {
    this.#now = now;
    this.#started = now();
    this.#interfaces = Array.from({ length: interfaces }, () => ({
      received: 0,
      dropped: 0,
      accepted: 0,
      delivered: 0,
    }));
  }

  /** Counts what the workers handed over at an interface, whether or not the filter lets it pass. */
  receive(index: number, packets: number, accepted: boolean): void {
    const counts = this.#interfaces[index]!;
    counts.received += packets;
    if (accepted) counts.accepted += packets;
  }

  /** Counts what the workers had to leave out before a record of this interface. */
  lose(index: number, packets: number): void {
    const counts = this.#interfaces[index]!;
    counts.received += packets;
    counts.dropped += packets;
  }

  /** Counts a packet that the sink took. */
  deliver(packet: Packet): void {
    this.#interfaces[packet.interface]!.delivered++;
  }

  statistics(): InterfaceStatistics[] {
    const ended = this.#now();
    return this.#interfaces.map(counts => ({
      received: BigInt(counts.received),
      dropped: BigInt(counts.dropped),
      accepted: BigInt(counts.accepted),
      delivered: BigInt(counts.delivered),
      started: this.#started,
      ended,
    }));
  }

  /** Sums over all interfaces. */
  get totals(): { received: number; dropped: number; delivered: number } {
    const sum = (key: 'received' | 'dropped' | 'delivered') =>
      this.#interfaces.reduce((total, counts) => total + counts[key], 0);
    return { received: sum('received'), dropped: sum('dropped'), delivered: sum('delivered') };
  }
}
