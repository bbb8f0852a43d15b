import { macText } from '../../../../encap/wire/addresses.ts';
import { type Field, fail, listOf } from '../../../base/schema.ts';
import { canonicalAddress } from '../../../ip/address.ts';
import { parseMac } from '../../../ip/mac.ts';
import { covers, formatPrefix, isNetwork, networkOf, parsePrefix } from '../../../ip/prefix.ts';

/** A value that has one canonical text: `parse` yields it or throws. */
function canonical(type: string, doc: string, parse: (raw: string) => string): Field<string> {
  return {
    type,
    doc,
    read(raw, where) {
      try {
        if (typeof raw === 'string') return parse(raw);
      } catch {
        // refused below
      }
      return fail(where, `${JSON.stringify(raw)} is not ${type}`);
    },
  };
}

/** Addresses that cannot be those of a remote node, with the reason. */
const NO_NODE: readonly (readonly [string, string])[] = [
  ['0.0.0.0/8', 'unspecified'],
  ['127.0.0.0/8', 'a loopback address'],
  ['224.0.0.0/4', 'multicast'],
  ['240.0.0.0/4', 'reserved'],
  ['::/128', 'unspecified'],
  ['::1/128', 'a loopback address'],
  ['ff00::/8', 'multicast'],
  ['::ffff:0:0/96', 'an IPv4-mapped address: write it as IPv4'],
  ['fe80::/10', 'link-local, hence not unique'],
];

/** An IP address of a node, in canonical text. */
export const address = (doc: string): Field<string> => {
  const plain = canonical('an IP address', doc, canonicalAddress);
  return {
    ...plain,
    read(raw, where) {
      const text = plain.read(raw, where);
      const refused = NO_NODE.find(([network]) => covers(network, text));
      return refused
        ? fail(where, `${text} is ${refused[1]}`, 'give an address that this node can send to')
        : text;
    },
  };
};

/** A unicast MAC address in small letters with colons. */
export const mac = (doc: string): Field<string> =>
  canonical('a unicast MAC address', doc, raw => {
    const bytes = parseMac(raw);
    if (!bytes || ((bytes[0] ?? 1) & 1) !== 0 || bytes.every(byte => byte === 0)) throw new RangeError(raw);
    return macText(bytes);
  });

/** A subnet of pods without host bits, in canonical text. */
export const subnet = (doc: string): Field<string> => ({
  type: 'subnet',
  doc,
  read(raw, where) {
    const prefix = typeof raw === 'string' && raw.includes('/') ? parsePrefix(raw) : undefined;
    if (!prefix) fail(where, `${JSON.stringify(raw)} is not a subnet`, 'write 10.244.1.0/24 or fd00:1::/64');
    const network = formatPrefix(networkOf(prefix));
    if (!isNetwork(prefix)) fail(where, `${raw} has bits set beyond its length`, `the subnet is ${network}`);
    const refused = NO_NODE.find(([range]) => covers(range, network) || covers(network, range));
    if (refused)
      fail(where, `${network} holds addresses that are ${refused[1]}`, 'pods have unicast addresses');
    return network;
  },
});

/** `auto` or a whole number within bounds. */
export function autoOr(field: Field<number>): Field<number | 'auto'> {
  return {
    ...field,
    type: `auto | ${field.type}`,
    read: (raw, where) => (raw === 'auto' ? raw : field.read(raw, where)),
  };
}

/** Prefixes, at most one per family and at least `least`. */
export function onePerFamily(field: Field<string>, doc: string, least: 0 | 1): Field<string[]> {
  return {
    ...listOf(field, doc),
    read(raw, where) {
      const items = listOf(field, doc).read(raw, where);
      if (items.length < least) fail(where, 'is empty', `at least one is needed: ${doc}`);
      for (const isV6 of [false, true]) {
        const second = items.filter(item => item.includes(':') === isV6)[1];
        if (second !== undefined)
          fail(where, `${second} is the second of IPv${isV6 ? 6 : 4}`, 'give at most one of each family');
      }
      return items;
    },
  };
}
