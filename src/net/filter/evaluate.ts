import { RipstopError } from '../../base/errors.ts';
import type { Action, FilterChain, FilterPacket, FilterRule, FilterTable } from './model.ts';

/** A rule or policy that drops a packet, or may drop it. */
export interface PossibleDrop {
  readonly table: FilterTable;
  readonly chain: string;
  /** The rule, or `policy drop`. */
  readonly rule: string;
  /** The packet reaches the rule and matches it. Otherwise that depends on what cannot be evaluated. */
  readonly isCertain: boolean;
  /** The rule and the calls that lead to it match the packet. A rule before it may accept the packet. */
  readonly isMatch: boolean;
}

/** Calls deeper than this are not followed; nftables allows 16. */
const DEPTH = 32;

/** Most rules that are looked at: chains that call each other can make more ways than can be followed. */
const STEPS_MAX = 1_000_000;

/** What a chain does with the packet: ends its way, may end it, or returns to the caller. */
type End = 'ended' | 'may-end' | 'returned';

/** How sure it is that the packet gets to a place. */
interface Way {
  readonly isCertain: boolean;
  readonly isMatch: boolean;
}

/**
 * All rules that can drop a packet at a hook. An accept in one chain of the hook does not keep another from dropping.
 * @throws RipstopError EFBIG when there are too many ways through the chains
 */
export function possibleDrops(
  tables: readonly FilterTable[],
  hook: 'forward' | 'input',
  packet: FilterPacket,
): PossibleDrop[] {
  return tables
    .filter(({ family }) => family === 'both' || family === packet.family)
    .flatMap(table =>
      [...table.chains.values()]
        .filter(chain => chain.hook === hook)
        .flatMap(chain => dropsOfChain(table, chain, packet)),
    );
}

/** The rules of a chain, those of the chains that it calls, and its policy. @throws as `possibleDrops` */
export function dropsOfChain(table: FilterTable, chain: FilterChain, packet: FilterPacket): PossibleDrop[] {
  const walk = new Walk(table, packet);
  const end = walk.chain(chain, { isCertain: true, isMatch: true }, 0);
  if (chain.policy === 'drop' && end !== 'ended')
    walk.drops.push({
      table,
      chain: chain.name,
      rule: 'policy drop',
      isCertain: end === 'returned',
      isMatch: true,
    });
  return walk.drops;
}

class Walk {
  readonly drops: PossibleDrop[] = [];
  readonly #table: FilterTable;
  readonly #packet: FilterPacket;
  #steps = 0;

  constructor(table: FilterTable, packet: FilterPacket) {
    this.#table = table;
    this.#packet = packet;
  }

  chain(chain: FilterChain, entry: Way, depth: number): End {
    let { isCertain } = entry;
    let mayEnd = false;
    for (const rule of chain.rules) {
      if (++this.#steps > STEPS_MAX)
        throw new RipstopError('EFBIG', `${this.#table.name}: too many ways through its chains`);
      const matches = this.#matches(rule);
      if (matches === false) continue;
      for (const { condition, action } of rule.actions) {
        const holds = condition ? condition(this.#packet) : true;
        if (holds === false) continue;
        const isMatch = matches === true && holds === true;
        const way: Way = { isCertain: isCertain && isMatch, isMatch: entry.isMatch && isMatch };
        const end = this.#act(chain, rule, action, way, depth);
        if (isMatch && end === 'ended') return 'ended';
        if (end !== 'returned') mayEnd = true;
        // The rest of this chain is not evaluated; the caller continues.
        const leaves = action.do === 'return' || action.do === 'goto';
        if (isMatch && leaves) return mayEnd ? 'may-end' : 'returned';
        if (leaves || end !== 'returned') isCertain = false;
        // A verdict map has one entry for the packet.
        if (isMatch && condition) break;
      }
    }
    return mayEnd ? 'may-end' : 'returned';
  }

  #matches({ conditions }: FilterRule): boolean | undefined {
    let result: boolean | undefined = true;
    for (const condition of conditions) {
      const holds = condition(this.#packet);
      if (holds === false) return false;
      if (holds === undefined) result = undefined;
    }
    return result;
  }

  #act(chain: FilterChain, rule: FilterRule, action: Action, way: Way, depth: number): End {
    switch (action.do) {
      case 'continue':
      case 'return':
        return 'returned';
      case 'accept':
        return 'ended';
      case 'drop':
        this.drops.push({ table: this.#table, chain: chain.name, rule: rule.text, ...way });
        return 'ended';
      case 'jump':
      case 'goto': {
        const target = this.#table.chains.get(action.chain);
        if (!target || depth >= DEPTH) return 'returned';
        return this.chain(target, way, depth + 1);
      }
    }
  }
}
