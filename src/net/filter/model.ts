import type { Address, Family } from '../../ip/address.ts';

/*
 * Packet filter rules of any program as values, to find out which of them can drop a packet. Only what matters for that is
 * kept: conditions, verdicts, and the calls between chains.
 */

/** The packet that the rules are evaluated for: the first of a connection, without a mark. */
export interface FilterPacket {
  readonly family: Family;
  readonly source: Address;
  readonly destination: Address;
  readonly protocol: 'tcp' | 'udp' | 'icmp';
  /** Undefined: any port. */
  readonly sourcePort?: number | undefined;
  readonly destinationPort?: number | undefined;
  /** Names of the interfaces that it arrives and leaves by. */
  readonly from: string;
  /** Undefined for the input hook. */
  readonly to: string | undefined;
}

/** Whether a condition holds for a packet; undefined: it depends on what is not known, for instance a set or a rate. */
export type FilterCondition = (packet: FilterPacket) => boolean | undefined;

export type Action =
  | { readonly do: 'accept' | 'drop' | 'return' | 'continue' }
  /** Only the last chain of a `goto` returns to the caller. */
  | { readonly do: 'jump' | 'goto'; readonly chain: string };

export interface FilterRule {
  /** The rule in the language of its tool. */
  readonly text: string;
  /** All must hold. */
  readonly conditions: readonly FilterCondition[];
  /** Tried in order; each may have a condition of its own (a verdict map). */
  readonly actions: readonly { readonly condition?: FilterCondition; readonly action: Action }[];
}

export interface FilterChain {
  readonly name: string;
  /** Hook of the kernel; undefined for a chain that others call. */
  readonly hook: string | undefined;
  readonly policy: 'accept' | 'drop';
  readonly rules: readonly FilterRule[];
}

export interface FilterTable {
  /** As in `nftables table inet firewalld`, `iptables-legacy table filter`. */
  readonly name: string;
  readonly tool: 'nftables' | 'iptables';
  readonly family: Family | 'both';
  readonly chains: ReadonlyMap<string, FilterChain>;
}
