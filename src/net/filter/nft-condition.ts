import type { Family } from '../../ip/address.ts';
import { parseAddress } from '../../ip/address.ts';
import { isInterface, isProtocol, isWithin } from './conditions.ts';
import type { FilterCondition, FilterPacket } from './model.ts';

/*
 * Conditions of nftables in libnftables' JSON. What a packet alone does not decide (sets of another table, rates, fib) is
 * undefined.
 */

/** Elements of the named sets of a table, by `@name`. */
export type NftSets = ReadonlyMap<string, readonly unknown[]>;

/** Statements that are conditions and that a packet alone does not decide. */
const UNKNOWN_STATEMENTS = ['limit', 'quota', 'ct count', 'connlimit', 'xt', 'last'];

/** The condition of a statement; undefined: the statement is not a condition. */
export function nftCondition(
  statement: Readonly<Record<string, unknown>>,
  sets: NftSets,
): FilterCondition | undefined {
  if (UNKNOWN_STATEMENTS.some(name => name in statement)) return () => undefined;
  const match = fields(statement.match);
  if (!match) return undefined;
  const { op, left, right } = match;
  return packet => holds(packet, left, String(op), right, sets);
}

/** The condition of one entry of a verdict map. */
export function nftMapCondition(key: unknown, element: unknown, sets: NftSets): FilterCondition {
  return packet => holds(packet, key, '==', element, sets);
}

export function fields(value: unknown): Readonly<Record<string, unknown>> | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : undefined;
}

function holds(
  packet: FilterPacket,
  left: unknown,
  op: string,
  right: unknown,
  sets: NftSets,
): boolean | undefined {
  const value = fieldValue(left, packet);
  // Rules match no packet without the header that they name, not even with `!=`.
  if (value === NO_HEADER) return false;
  if (value === undefined) return undefined;
  switch (op) {
    case '==':
    case 'in':
      return isIn(value, right, sets);
    case '!=': {
      const isThere = isIn(value, right, sets);
      return isThere === undefined ? undefined : !isThere;
    }
    default:
      return compare(value, op, right);
  }
}

const NO_HEADER = Symbol('the packet has no such header');

type Value = string | number | readonly Value[] | ((element: unknown) => boolean | undefined);

/** @returns undefined where it is not known */
function fieldValue(left: unknown, packet: FilterPacket): Value | typeof NO_HEADER | undefined {
  const expression = fields(left);
  if (!expression) return undefined;
  const meta = fields(expression.meta);
  if (meta) return metaOf(String(meta.key), packet);
  const ct = fields(expression.ct);
  if (ct) return ctOf(String(ct.key));
  const payload = fields(expression.payload);
  if (payload) return payloadOf(String(payload.protocol), String(payload.field), packet);
  if (Array.isArray(expression.concat)) {
    const parts = expression.concat.map(part => fieldValue(part, packet));
    if (parts.includes(NO_HEADER)) return NO_HEADER;
    return parts.includes(undefined) ? undefined : (parts as Value[]);
  }
  if (Array.isArray(expression['&'])) {
    const [inner, mask] = expression['&'];
    const value = fieldValue(inner, packet);
    return typeof value === 'number' && typeof mask === 'number' ? value & mask : undefined;
  }
  return undefined;
}

function metaOf(key: string, packet: FilterPacket): Value | undefined {
  switch (key) {
    case 'iifname':
    case 'iif':
      return interfaceValue(packet.from);
    case 'oifname':
    case 'oif':
      return interfaceValue(packet.to);
    case 'l4proto':
      return protocolValue(packet);
    case 'nfproto':
      return packet.family === 4 ? 'ipv4' : 'ipv6';
    case 'protocol':
      return packet.family === 4 ? 'ip' : 'ip6';
    case 'mark':
      return 0;
    default:
      return undefined;
  }
}

/** Of the first packet of a connection. */
function ctOf(key: string): Value | undefined {
  switch (key) {
    case 'state':
      return 'new';
    case 'status':
      return '';
    case 'mark':
      return 0;
    case 'direction':
      return 'original';
    default:
      return undefined;
  }
}

function payloadOf(
  protocol: string,
  field: string,
  packet: FilterPacket,
): Value | typeof NO_HEADER | undefined {
  const family: Family | undefined = protocol === 'ip' ? 4 : protocol === 'ip6' ? 6 : undefined;
  if (family !== undefined) {
    if (family !== packet.family) return NO_HEADER;
    if (field === 'saddr') return addressValue(packet.source);
    if (field === 'daddr') return addressValue(packet.destination);
    return field === 'protocol' || field === 'nexthdr' ? protocolValue(packet) : undefined;
  }
  if (protocol !== 'th' && !isProtocol(packet, protocol)) return NO_HEADER;
  if (field === 'sport') return packet.sourcePort;
  return field === 'dport' ? packet.destinationPort : undefined;
}

function interfaceValue(name: string | undefined): Value {
  return element => (typeof element === 'string' ? isInterface(name, element, '*') : undefined);
}

function protocolValue(packet: FilterPacket): Value {
  return element =>
    typeof element === 'string' || typeof element === 'number' ? isProtocol(packet, element) : undefined;
}

function addressValue(address: FilterPacket['source']): Value {
  return element => {
    const expression = fields(element);
    const prefix = fields(expression?.prefix);
    if (prefix) return isWithin(address, `${prefix.addr}/${prefix.len}`);
    if (Array.isArray(expression?.range)) {
      const [first, last] = expression.range.map(end => parseAddress(String(end)));
      return first && last && first.value <= address.value && address.value <= last.value;
    }
    return typeof element === 'string' ? isWithin(address, element) : undefined;
  };
}

/** Whether a value is an element, or in a set, a range or a list. */
function isIn(value: Value, right: unknown, sets: NftSets): boolean | undefined {
  if (typeof right === 'string' && right.startsWith('@')) {
    const elements = sets.get(right.slice(1));
    return elements && anyOf(elements, element => isIn(value, element, sets));
  }
  if (Array.isArray(right)) return anyOf(right, element => isIn(value, element, sets));
  const expression = fields(right);
  if (Array.isArray(expression?.set)) return anyOf(expression.set, element => isIn(value, element, sets));
  // An element with a comment, a timeout or a counter.
  if (expression && 'elem' in expression)
    return isIn(value, fields(expression.elem)?.val ?? expression.elem, sets);
  if (Array.isArray(value)) {
    const parts = expression?.concat;
    if (!Array.isArray(parts) || parts.length !== value.length) return undefined;
    return allOf(parts, (part, at) => isIn(value[at] as Value, part, sets));
  }
  if (right === '*') return true;
  if (typeof value === 'function') return value(right);
  if (Array.isArray(expression?.range)) {
    const [first, last] = expression.range as unknown[];
    return typeof value === 'number' && value >= Number(first) && value <= Number(last);
  }
  return expression ? undefined : value === right;
}

function compare(value: Value, op: string, right: unknown): boolean | undefined {
  if (typeof value !== 'number' || typeof right !== 'number') return undefined;
  switch (op) {
    case '<':
      return value < right;
    case '>':
      return value > right;
    case '<=':
      return value <= right;
    case '>=':
      return value >= right;
    default:
      return undefined;
  }
}

type Decision<T> = (each: T, at: number) => boolean | undefined;

function anyOf<T>(list: readonly T[], decide: Decision<T>): boolean | undefined {
  const results = list.map(decide);
  return results.includes(true) ? true : results.includes(undefined) ? undefined : false;
}

function allOf<T>(list: readonly T[], decide: Decision<T>): boolean | undefined {
  const results = list.map(decide);
  return results.includes(false) ? false : results.includes(undefined) ? undefined : true;
}
