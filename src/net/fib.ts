import { constants } from 'node:os';
import { type Address, requireAddress } from '../ip/address.ts';
import { contains, type Prefix, requirePrefix } from '../ip/prefix.ts';
import { NetError } from './error.ts';
import type { Route } from './rtnetlink/routes.ts';
import type { Rule } from './rtnetlink/rules.ts';

/** A packet to be routed. */
export interface RoutedPacket {
  readonly destination: string;
  /** Undefined: not chosen yet. */
  readonly source?: string | undefined;
  /** Name of the interface that it came in by; undefined: this node sends it. */
  readonly input?: string | undefined;
}

const TO_TABLE = 1;
/** Errors of rules and routes that refuse, by FR_ACT_* and by type. */
const REFUSING_RULES: Readonly<Record<number, number>> = {
  6: constants.errno.EINVAL,
  7: constants.errno.ENETUNREACH,
  8: constants.errno.EACCES,
};
const REFUSING_ROUTES: Readonly<Partial<Record<Route['type'], number>>> = {
  blackhole: constants.errno.EINVAL,
  unreachable: constants.errno.EHOSTUNREACH,
  prohibit: constants.errno.EACCES,
};

type Entry = Route & { readonly prefix: Prefix };

/** Routing tables and rules as values: which route the kernel would choose (fib_rules_lookup, fib_table_lookup). */
export class Fib {
  /** By family and table: the longest prefixes first, and the lowest metric among those of one length. */
  readonly #tables = new Map<string, Entry[]>();
  readonly #rules: readonly Rule[];

  constructor(routes: readonly Route[], rules: readonly Rule[]) {
    this.#rules = rules.toSorted((a, b) => a.priority - b.priority);
    for (const route of routes) {
      const key = `${route.family} ${route.table}`;
      const table = this.#tables.get(key) ?? [];
      this.#tables.set(key, table);
      table.push({ ...route, prefix: requirePrefix(route.destination) });
    }
    for (const table of this.#tables.values())
      table.sort((a, b) => b.prefix.length - a.prefix.length || a.metric - b.metric);
  }

  /**
   * @param doubt gets what the tables alone do not decide, as a sentence
   * @throws NetError ENETUNREACH without a route; EINVAL, EHOSTUNREACH, EACCES for a route or a rule that refuses
   */
  lookUp(packet: RoutedPacket, doubt: (text: string) => void): Route {
    const wanted = requireAddress(packet.destination);
    const source = packet.source === undefined ? undefined : requireAddress(packet.source);
    for (const rule of this.#rules) {
      if (rule.family !== wanted.family || !matches(rule, wanted, source, packet.input)) continue;
      if (rule.hasMore) {
        doubt(
          `the routing rule ${rule.priority} has conditions that cannot be evaluated here: it is passed over`,
        );
        continue;
      }
      if (rule.action !== TO_TABLE) {
        const errno = REFUSING_RULES[rule.action];
        if (errno !== undefined) throw refusal(errno, packet);
        continue;
      }
      const route = this.#inTable(wanted, rule);
      if (!route || route.type === 'throw') continue;
      const errno = REFUSING_ROUTES[route.type];
      if (errno !== undefined) throw refusal(errno, packet);
      const [first] = route.hops ?? [];
      if (!first) return route;
      doubt(`the route to ${packet.destination} has several next hops: the first of them is assumed`);
      return { ...route, link: first.link, gateway: first.gateway };
    }
    throw refusal(constants.errno.ENETUNREACH, packet);
  }

  #inTable(wanted: Address, { family, table, suppressed = -1 }: Rule): Route | undefined {
    const found = this.#tables.get(`${family} ${table}`)?.find(({ prefix }) => contains(prefix, wanted));
    return found && found.prefix.length > suppressed ? found : undefined;
  }
}

function matches(rule: Rule, wanted: Address, source: Address | undefined, input = 'lo'): boolean {
  const { from, to, mark, mask, inverted } = rule;
  const isMatch =
    (from === undefined || (source !== undefined && contains(requirePrefix(from), source))) &&
    (to === undefined || contains(requirePrefix(to), wanted)) &&
    (rule.input === undefined || rule.input === input) &&
    // A traced packet has no mark.
    (mark & mask) === 0;
  return isMatch !== inverted;
}

function refusal(errno: number, { destination }: RoutedPacket): NetError {
  return new NetError(errno, `look up the route to ${destination}`);
}
