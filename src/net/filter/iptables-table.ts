import type { Family } from '../../ip/address.ts';
import type { Variant } from '../iptables.ts';
import { splitRule } from '../iptables-words.ts';
import { isInterface, isProtocol, isWithin, negated } from './conditions.ts';
import type { Action, FilterChain, FilterCondition, FilterPacket, FilterRule, FilterTable } from './model.ts';

/*
 * A table in the language of iptables-save. Matches of extensions that depend on the state of the kernel (sets, rates) are
 * unknown conditions.
 */

const HOOKS: Readonly<Record<string, string>> = { FORWARD: 'forward', INPUT: 'input', OUTPUT: 'output' };
const UNKNOWN: FilterCondition = () => undefined;

/** Reads the output of iptables-save for one table. Unknown lines are ignored. */
export function readIptablesTable(
  saved: string,
  table: string,
  family: Family,
  variant: Variant,
): FilterTable {
  const policies = new Map<string, FilterChain['policy']>();
  const rules = new Map<string, string[]>();
  for (const line of saved.split('\n')) {
    const [, name, policy] = /^:(\S+) (\S+)/.exec(line) ?? [];
    if (name !== undefined) {
      rules.set(name, []);
      if (policy !== undefined && policy !== '-')
        policies.set(name, policy.toUpperCase() === 'DROP' ? 'drop' : 'accept');
    }
    const [, chain] = /^-A (\S+) /.exec(line) ?? [];
    if (chain !== undefined) rules.get(chain)?.push(line);
  }
  const chains = new Map<string, FilterChain>();
  for (const [name, lines] of rules)
    chains.set(name, {
      name,
      hook: HOOKS[name],
      policy: policies.get(name) ?? 'accept',
      rules: lines.map(line => readRule(line, rules)),
    });
  const program = `${family === 6 ? 'ip6tables' : 'iptables'}${variant === 'legacy' ? '-legacy' : ''}`;
  return { name: `${program} table ${table}`, tool: 'iptables', family, chains };
}

function readRule(line: string, chains: ReadonlyMap<string, unknown>): FilterRule {
  const [, , ...words] = splitRule(line);
  const conditions: FilterCondition[] = [];
  let action: Action = { do: 'continue' };
  for (let at = 0; at < words.length; ) {
    const isNegated = words[at] === '!';
    if (isNegated) at++;
    const option = words[at] ?? '';
    // The comment may begin like an option.
    if (option === '--comment') {
      at += 2;
      continue;
    }
    const next = words.findIndex((word, index) => index > at && /^(!$|-)/.test(word));
    const values = words.slice(at + 1, next < 0 ? undefined : next);
    if (option === '-j' || option === '-g') {
      action = actionOf(values[0] ?? '', option === '-g', chains);
      break;
    }
    at = next < 0 ? words.length : next;
    if (option === '-m') continue;
    const condition = conditionOf(option, values);
    conditions.push(isNegated ? negated(condition) : condition);
  }
  return { text: line, conditions, actions: [{ action }] };
}

function actionOf(target: string, isGoto: boolean, chains: ReadonlyMap<string, unknown>): Action {
  if (chains.has(target)) return { do: isGoto ? 'goto' : 'jump', chain: target };
  if (target === 'ACCEPT') return { do: 'accept' };
  if (target === 'DROP' || target === 'REJECT') return { do: 'drop' };
  return { do: target === 'RETURN' ? 'return' : 'continue' };
}

function conditionOf(option: string, [value = '', ...more]: readonly string[]): FilterCondition {
  if (more.length > 0) return UNKNOWN;
  switch (option) {
    case '-s':
      return ({ source }) => isWithin(source, value);
    case '-d':
      return ({ destination }) => isWithin(destination, value);
    case '-i':
      return ({ from }) => isInterface(from, value, '+');
    case '-o':
      return ({ to }) => isInterface(to, value, '+');
    case '-p':
      return packet => value === 'all' || isProtocol(packet, value);
    case '--sport':
    case '--sports':
      return ({ sourcePort }) => isPort(sourcePort, value);
    case '--dport':
    case '--dports':
      return ({ destinationPort }) => isPort(destinationPort, value);
    case '--ctstate':
    case '--state':
      return () => value.split(',').includes('NEW');
    case '--mark':
      return () => isMark(value);
    default:
      return UNKNOWN;
  }
}

/** `80`, `80:90`, `22,80:90`. */
function isPort(port: FilterPacket['sourcePort'], text: string): boolean | undefined {
  if (port === undefined) return undefined;
  return text.split(',').some(range => {
    const [first, last = first] = range.split(':');
    return port >= Number(first || 0) && port <= Number(last || 65535);
  });
}

/** True where a packet without a mark matches `value/mask`. */
function isMark(text: string): boolean {
  return Number(text.split('/')[0]) === 0;
}
