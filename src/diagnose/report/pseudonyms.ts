import { createHmac, randomBytes } from 'node:crypto';
import { type Address, bitsOf, type Family, formatAddress, parseAddress } from '../../ip/address.ts';
import { parseMac } from '../../ip/mac.ts';
import { contains, networkOf, parsePrefix, requirePrefix } from '../../ip/prefix.ts';

/*
 * Names and addresses of a report are replaced consistently, with a key that is not kept. Addresses keep their prefixes (as in
 * Xu et al., "Prefix-Preserving IP Address Anonymization", 2002): each bit is flipped or not by a keyed function of the bits
 * before it, so that two addresses share as many leading bits as their pseudonyms.
 */

/** A pseudonym of such an address is in the same network, since the network says what kind of address it is. */
const KINDS = [
  ...['0.0.0.0/32', '10.0.0.0/8', '100.64.0.0/10', '127.0.0.0/8', '169.254.0.0/16', '172.16.0.0/12'],
  ...['192.168.0.0/16', '224.0.0.0/4', '255.255.255.255/32'],
  ...['::/96', '::ffff:0:0/96', '64:ff9b::/96', '2000::/3', 'fc00::/7', 'fe80::/64', 'ff00::/8'],
  'ff02::1:ff00:0/104',
].map(requirePrefix);
/** Addresses that mean the same on every node stay as they are. */
const FIXED = [
  ...['0.0.0.0/32', '127.0.0.0/8', '224.0.0.0/4', '255.255.255.255/32', '::/127', 'ff00::/8'],
].map(requirePrefix);
/** Groups of neighbour discovery, which have the last 24 bits of an address (RFC 4291 section 2.7.1), also in their MAC. */
const SOLICITED = requirePrefix('ff02::1:ff00:0/104');
const SOLICITED_MAC = /^33:33:ff:/i;

const MAC = '(?<![0-9a-fA-F:])(?:[0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}(?![0-9a-fA-F:])';
const IPV4 = '(?<![\\d.])\\d{1,3}(?:\\.\\d{1,3}){3}(?!\\d)';
const IPV6 = '(?<![\\w:.])[0-9a-fA-F]{0,4}(?::[0-9a-fA-F]{0,4}){2,7}(?![\\w:]|\\.\\d)';
const ADDRESS = new RegExp(`${IPV4}|${IPV6}`, 'g');
const MAC_LENGTH = 17;
/** The length of a prefix behind its address, also in the key of a lease. */
const LENGTH = /^[/-](\d{1,3})(?!\d)/;

export class Pseudonyms {
  readonly #key = randomBytes(32);
  readonly #names = new Map<string, string>();
  #pattern: RegExp | undefined;
  /** `family length value` of the bits that may not be flipped behind them. */
  readonly #still = new Set<string>();
  readonly #flips = new Map<string, bigint>();
  readonly #addresses = new Map<string, string>();

  constructor() {
    for (const { family, value, length } of KINDS)
      for (let at = 0; at < length; at++) this.#still.add(place(family, value, at));
  }

  /** Names that will be replaced, in the order of their numbers: `node-1`. */
  addNames(kind: string, names: Iterable<string>): void {
    for (const name of [...new Set(names)].sort())
      if (name !== '' && !this.#names.has(name) && !parseAddress(name) && !parsePrefix(name))
        this.#names.set(name, `${kind}-${this.#names.size + 1}`);
    this.#pattern = undefined;
  }

  /** Learns the networks in a JSON value: the first address of a network stays its first one. Before the first `replace`. */
  learn(value: unknown): void {
    if (typeof value === 'string') this.#learnText(value);
    else if (Array.isArray(value)) for (const item of value) this.learn(item);
    else if (typeof value === 'object' && value !== null) {
      // A network in the JSON of nftables.
      const { addr, len } = value as { addr?: unknown; len?: unknown };
      if (typeof addr === 'string' && typeof len === 'number') this.#learnNetwork(`${addr}/${len}`);
      for (const part of Object.values(value)) this.learn(part);
    }
  }

  #learnText(text: string): void {
    for (const { 0: address, index } of text.matchAll(ADDRESS)) {
      const length = LENGTH.exec(text.slice(index + address.length, index + address.length + 5))?.[1];
      if (length !== undefined) this.#learnNetwork(`${address}/${length}`);
    }
  }

  #learnNetwork(text: string): void {
    const network = parsePrefix(text);
    if (!network || network.length === 0) return;
    const { family, value } = networkOf(network);
    for (let at = network.length; at < bitsOf(family); at++) this.#still.add(place(family, value, at));
  }

  /** The text with pseudonyms. What is part of an address is not part of a name. */
  replace(text: string): string {
    return text.replaceAll(this.#whole(), found => {
      const name = this.#names.get(found);
      if (name !== undefined) return name;
      return found.length === MAC_LENGTH && parseMac(found) ? this.#mac(found) : this.address(found);
    });
  }

  /**
   * A JSON value with pseudonyms in all its texts. Keys stay, and so do words that a schema lists.
   * @param schema JSON Schema of the value, as of `jsonSchema`
   */
  replaceValue(value: unknown, schema: JsonSchema = {}): unknown {
    if (typeof value === 'string') return isWord(value, schema) ? value : this.replace(value);
    if (Array.isArray(value)) return value.map(item => this.replaceValue(item, partOf(schema, 'items')));
    if (typeof value !== 'object' || value === null) return value;
    return Object.fromEntries(
      Object.entries(value).map(([key, part]) => [key, this.replaceValue(part, partOf(schema, key))]),
    );
  }

  /** The pseudonym of an address; another text stays. */
  address(text: string): string {
    const known = this.#addresses.get(text);
    if (known !== undefined) return known;
    const address = parseAddress(text);
    if (!address) return text;
    const isFixed = !contains(SOLICITED, address) && FIXED.some(network => contains(network, address));
    const pseudonym = isFixed ? text : formatAddress({ ...address, value: this.#scramble(address) });
    this.#addresses.set(text, pseudonym);
    return pseudonym;
  }

  #scramble({ family, value }: Address): bigint {
    let flips = 0n;
    for (let at = 0; at < bitsOf(family); at++) flips = (flips << 1n) | this.#flip(place(family, value, at));
    return value ^ flips;
  }

  #flip(where: string): bigint {
    if (this.#still.has(where)) return 0n;
    const known = this.#flips.get(where);
    if (known !== undefined) return known;
    const flip = BigInt(this.#digest(where).readUInt8(0) & 1);
    this.#flips.set(where, flip);
    return flip;
  }

  /** A unicast address of a device becomes a local one; the others mean the same everywhere. */
  #mac(mac: string): string {
    const bytes = Buffer.from(mac.replaceAll(':', ''), 'hex');
    const isSolicited = SOLICITED_MAC.test(mac);
    if (!isSolicited && (bytes.readUInt8(0) & 1 || bytes.every(byte => byte === 0))) return mac;
    const pseudonym = this.#digest(`mac ${mac.toLowerCase()}`).subarray(0, 6);
    if (isSolicited) pseudonym.set([0x33, 0x33, 0xff]);
    else pseudonym[0] = 0x02;
    return pseudonym.toString('hex').replaceAll(/..(?=.)/g, '$&:');
  }

  #whole(): RegExp {
    if (this.#pattern) return this.#pattern;
    // The longest first: one name may begin like another.
    const names = [...this.#names.keys()].sort((a, b) => b.length - a.length);
    const escaped = names.map(name => name.replaceAll(/[.*+?^${}()|[\]\\/-]/g, '\\$&'));
    const ofNames = names.length === 0 ? '' : `|(?<![A-Za-z0-9])(?:${escaped.join('|')})(?![A-Za-z0-9])`;
    this.#pattern = new RegExp(`${MAC}|${IPV4}|${IPV6}${ofNames}`, 'g');
    return this.#pattern;
  }

  #digest(text: string): Buffer {
    return createHmac('sha256', this.#key).update(text).digest();
  }
}

/** The first `at` bits of an address. */
function place(family: Family, value: bigint, at: number): string {
  return `${family} ${at} ${value >> BigInt(bitsOf(family) - at)}`;
}

/** The parts of a JSON Schema that are looked at. */
interface JsonSchema {
  readonly enum?: readonly unknown[];
  readonly anyOf?: readonly JsonSchema[];
  readonly items?: JsonSchema;
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly additionalProperties?: JsonSchema | false;
}

function isWord(value: string, { enum: words, anyOf = [] }: JsonSchema): boolean {
  return words?.includes(value) ?? anyOf.some(one => isWord(value, one));
}

/** The schema of the items of a list, or of a key. */
function partOf(schema: JsonSchema, key: string): JsonSchema {
  const { items, properties = {}, additionalProperties, anyOf = [] } = schema;
  if (key === 'items' && items) return items;
  if (Object.hasOwn(properties, key)) return properties[key] ?? {};
  if (additionalProperties) return additionalProperties;
  return anyOf.map(one => partOf(one, key)).find(one => Object.keys(one).length > 0) ?? {};
}
