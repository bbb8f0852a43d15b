import { readMib } from '../net/mib.ts';
import type { StackChanges } from './audit/balance.ts';

/** Counters of the IP stack that show why a packet was lost outside the data plane. */
const COUNTERS = [
  'UdpRcvbufErrors',
  'UdpInCsumErrors',
  'UdpSndbufErrors',
  'UdpNoPorts',
  'Udp6RcvbufErrors',
  'Udp6InCsumErrors',
  'Udp6SndbufErrors',
  'Udp6NoPorts',
  'IpReasmFails',
  'Ip6ReasmFails',
  'IpInHdrErrors',
  'IpInAddrErrors',
  'IpInDiscards',
  'IpOutDiscards',
  'IpOutNoRoutes',
  'Ip6InDiscards',
  'Ip6OutDiscards',
  'Ip6OutNoRoutes',
  'TcpExtIPReversePathFilter',
] as const;

/** What the IP stack of a network namespace has counted since this object was made, all programs together. */
export class IpStackCounters {
  readonly #netns: string;
  readonly #start: ReadonlyMap<string, number>;

  constructor(netns: string) {
    this.#netns = netns;
    this.#start = readMib(netns);
  }

  /** The counters that changed. */
  changes(): StackChanges {
    const now = readMib(this.#netns);
    return COUNTERS.map(counter => ({
      counter,
      change: (now.get(counter) ?? 0) - (this.#start.get(counter) ?? 0),
    })).filter(({ change }) => change !== 0);
  }
}
