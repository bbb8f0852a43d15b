import { messageOf, RipstopError } from '../../base/errors.ts';
import { fail } from '../../base/schema.ts';
import { goPattern } from '../../base/text/go-pattern.ts';
import { type Family, formatAddress, parseAddress } from '../../ip/address.ts';
import { whyNoNode } from '../../ip/unicast.ts';

/** An address of an interface, with the properties that the choice depends on. */
export interface LinkAddress {
  readonly family: Family;
  readonly address: string;
  readonly scope: 'global' | 'site' | 'link' | 'host';
  /** RFC 4941 privacy address. */
  readonly temporary?: boolean;
  readonly deprecated?: boolean;
}

export interface UnderlayLink {
  readonly index: number;
  readonly name: string;
  /** Bytes. */
  readonly mtu: number;
  readonly addresses: readonly LinkAddress[];
}

/** What the choice needs of the kernel: from rtnetlink in `link-snapshot.ts`, from tables in tests. */
export interface LinkSnapshot {
  links(): readonly UnderlayLink[];
  /** Index of the link of the default route with the lowest metric. */
  defaultRoute(family: Family): number | undefined;
  /** Where a packet to `address` would leave, and with which source. */
  routeTo(address: string): { link: number; source: string } | undefined;
}

export interface UnderlaySelector {
  readonly iface: readonly string[];
  readonly ifaceRegex: readonly string[];
  readonly ifaceCanReach: string;
  readonly publicIp: string;
  readonly publicIpv6: string;
  readonly v4: boolean;
  readonly v6: boolean;
}

/** The underlay interface. Sockets bind to `address*`; `public*` is published. */
export interface Underlay {
  readonly index: number;
  readonly name: string;
  readonly mtu: number;
  readonly address4: string | undefined;
  readonly address6: string | undefined;
  readonly public4: string | undefined;
  readonly public6: string | undefined;
}

/** An interface that the agent used before, with its addresses. */
export interface Placement {
  readonly name: string;
  readonly address4: string | undefined;
  readonly address6: string | undefined;
}

/** What the node used before. Its addresses are preferred as long as an interface has them. */
export interface FormerPlacements {
  /** Chosen under the same selector, the preferred one first. */
  readonly chosen: readonly Placement[];
  /** Public addresses that the store has for this node; the selector under which they were chosen is unknown. */
  readonly published: readonly string[];
}

const NONE: FormerPlacements = { chosen: [], published: [] };

/**
 * Chooses the underlay as flannel does: every `--iface`, then every `--iface-regex`, then `--iface-can-reach`;
 * without these flags the link that has the public address, otherwise that of the default route. What was used before and
 * still exists is preferred, so that a new default route or another address on the link changes nothing.
 * A public address that an interface of this node has is bound, any other one is only published.
 * @throws RipstopError EUNDERLAY when nothing fits; the flags never fall back to the default route
 */
export function chooseUnderlay(
  selector: UnderlaySelector,
  view: LinkSnapshot,
  former: FormerPlacements = NONE,
): Underlay {
  const links = view.links();
  const known = [...former.chosen.flatMap(place => addressesOf(place, selector)), ...former.published];
  const asked = selector.iface.length > 0 || selector.ifaceRegex.length > 0 || selector.ifaceCanReach !== '';
  if (!asked)
    return (
      publicLink(selector, links, known) ??
      formerLink(selector, links, former, known) ??
      complete(defaultLink(selector, view, links), selector, links, known)
    );

  for (const place of former.chosen) {
    const link = links.find(candidate => candidate.name === place.name);
    const wanted = addressesOf(place, selector);
    if (link && wanted.every(address => hasAddress(link, address)))
      return complete(link, selector, links, wanted);
  }
  const lookups = [
    ...selector.iface.map(name => () => byNameOrAddress(name, links)),
    ...selector.ifaceRegex.map(pattern => () => byPattern(pattern, links, selector, known)),
    ...(selector.ifaceCanReach ? [() => byRoute(selector.ifaceCanReach, links, view)] : []),
  ];
  const failures: string[] = [];
  for (const find of lookups) {
    const found = find();
    try {
      if (typeof found === 'string') failures.push(found);
      else return complete(found.link, selector, links, found.address ? [found.address, ...known] : known);
    } catch (error) {
      failures.push(messageOf(error));
    }
  }
  throw new RipstopError(
    'EUNDERLAY',
    `no underlay interface fits: ${failures.join('; ')}`,
    `interfaces: ${links.map(link => link.name).join(', ')}`,
  );
}

/** The link that has the public address, unless it is a loopback device, which carries no underlay traffic. */
function publicLink(
  selector: UnderlaySelector,
  links: readonly UnderlayLink[],
  known: readonly string[],
): Underlay | undefined {
  for (const address of [selector.v4 ? selector.publicIp : '', selector.v6 ? selector.publicIpv6 : '']) {
    const holder = address ? byAddress(address, links) : undefined;
    if (holder && holder.name !== 'lo') return complete(holder, selector, links, known);
  }
  return undefined;
}

/**
 * The link that was used before: first one that still has an address that was used, then one with other addresses, as
 * after a renumbering.
 */
function formerLink(
  selector: UnderlaySelector,
  links: readonly UnderlayLink[],
  { chosen, published }: FormerPlacements,
  known: readonly string[],
): Underlay | undefined {
  const places = chosen.map(place => ({
    link: links.find(link => link.name === place.name),
    wanted: addressesOf(place, selector),
  }));
  const holders = [
    ...places.filter(({ link, wanted }) => link && wanted.some(address => hasAddress(link, address))),
    ...published.map(address => ({ link: byAddress(address, links) })),
    ...places,
  ];
  for (const { link } of holders) {
    if (!link || link.name === 'lo') continue;
    const isUsable = ({ scope, address }: LinkAddress) => scope !== 'link' || known.includes(address);
    const usable = { ...link, addresses: link.addresses.filter(isUsable) };
    try {
      return complete(usable, selector, links, known);
    } catch {
      // This link lacks an address of a family that is needed.
    }
  }
  return undefined;
}

function defaultLink(
  selector: UnderlaySelector,
  view: LinkSnapshot,
  links: readonly UnderlayLink[],
): UnderlayLink {
  const index4 = selector.v4 ? view.defaultRoute(4) : undefined;
  const index6 = selector.v6 ? view.defaultRoute(6) : undefined;
  if (selector.v4 && selector.v6 && index4 !== index6) {
    const name = (index: number | undefined) =>
      links.find(link => link.index === index)?.name ?? 'no interface';
    throw new RipstopError(
      'EUNDERLAY',
      `the default routes of IPv4 (${name(index4)}) and IPv6 (${name(index6)}) differ`,
      'name the interface with --iface',
    );
  }
  const link = links.find(candidate => candidate.index === (index4 ?? index6));
  if (!link)
    throw new RipstopError(
      'EUNDERLAY',
      'no default route determines the underlay interface',
      'name it with --iface',
    );
  return link;
}

/** A link, with the address that selected it; otherwise why there is none. */
type Found = { link: UnderlayLink; address?: string } | string;

function byRoute(target: string, links: readonly UnderlayLink[], view: LinkSnapshot): Found {
  const route = view.routeTo(target);
  const link = route && links.find(candidate => candidate.index === route.link);
  return link ? { link, address: route.source } : `--iface-can-reach: no route to ${target}`;
}

function byNameOrAddress(text: string, links: readonly UnderlayLink[]): Found {
  const wanted = parseAddress(text);
  const link = wanted ? byAddress(text, links) : links.find(candidate => candidate.name === text);
  if (!link) return `${text}: no such ${wanted ? 'address' : 'interface'} here`;
  return wanted ? { link, address: formatAddress(wanted) } : { link };
}

function byPattern(
  pattern: string,
  links: readonly UnderlayLink[],
  selector: UnderlaySelector,
  known: readonly string[],
): Found {
  const matches = goPattern(pattern, '--iface-regex');
  for (const link of links)
    for (const family of families(selector))
      for (const { address } of inOrder(link, family, known)) if (matches(address)) return { link, address };
  const link = links.find(candidate => matches(candidate.name));
  return link ? { link } : `--iface-regex ${pattern}: no address and no name matches`;
}

function byAddress(text: string, links: readonly UnderlayLink[]): UnderlayLink | undefined {
  const wanted = parseAddress(text);
  if (!wanted) return undefined;
  const canonical = formatAddress(wanted);
  return links.find(link => link.addresses.some(({ address }) => address === canonical));
}

/** Addresses of a link, best first: `known`, then global before link-local, permanent before temporary and deprecated. */
function inOrder(link: UnderlayLink, family: Family, known: readonly string[]): LinkAddress[] {
  const rank = ({ address, scope, deprecated, temporary }: LinkAddress) => {
    const at = known.indexOf(address);
    if (at >= 0) return at - known.length;
    return (scope === 'global' || scope === 'site' ? 0 : 4) + (deprecated ? 2 : 0) + (temporary ? 1 : 0);
  };
  return link.addresses
    .filter(a => a.family === family && a.scope !== 'host')
    .sort((a, b) => rank(a) - rank(b));
}

/** The underlay on a link, with a public address that this node has, otherwise with the first of `preferred`. */
function complete(
  link: UnderlayLink,
  selector: UnderlaySelector,
  links: readonly UnderlayLink[],
  preferred: readonly string[],
): Underlay {
  if (link.mtu <= 0) throw new RipstopError('EUNDERLAY', `interface ${link.name} has MTU 0`);
  const public4 = selector.v4 ? publishedAddress(selector.publicIp, 4) : undefined;
  const public6 = selector.v6 ? publishedAddress(selector.publicIpv6, 6) : undefined;
  const pick = (family: Family, own: string | undefined): string | undefined =>
    own !== undefined && links.some(candidate => hasAddress(candidate, own))
      ? own
      : inOrder(link, family, preferred)[0]?.address;
  const address4 = selector.v4 ? pick(4, public4) : undefined;
  const address6 = selector.v6 ? pick(6, public6) : undefined;
  for (const [family, on, address] of [
    [4, selector.v4, address4],
    [6, selector.v6, address6],
  ] as const)
    if (on && !address)
      throw new RipstopError(
        'EUNDERLAY',
        `interface ${link.name} has no IPv${family} address`,
        `give it one, or set EnableIPv${family} to false`,
      );
  return {
    index: link.index,
    name: link.name,
    mtu: link.mtu,
    address4,
    address6,
    public4: public4 ?? address4,
    public6: public6 ?? address6,
  };
}

/** The addresses of a placement in the families that the selector needs. */
function addressesOf({ address4, address6 }: Placement, { v4, v6 }: UnderlaySelector): string[] {
  return [v4 ? address4 : undefined, v6 ? address6 : undefined].filter(address => address !== undefined);
}

function hasAddress(link: UnderlayLink, address: string): boolean {
  return link.addresses.some(candidate => candidate.address === address && candidate.scope !== 'host');
}

/** Addresses of an underlay that no interface of this node has. */
export function missingAddresses({ address4, address6 }: Underlay, links: readonly UnderlayLink[]): string[] {
  return [address4, address6].filter(
    address => address !== undefined && !links.some(link => hasAddress(link, address)),
  ) as string[];
}

/** The address of --public-ip or --public-ipv6; undefined for ''. @throws RipstopError ECONFIG */
export function publishedAddress(text: string, family: Family): string | undefined {
  if (!text) return undefined;
  const where = `--public-ip${family === 6 ? 'v6' : ''}`;
  const address = parseAddress(text);
  if (address?.family !== family) fail(where, `${JSON.stringify(text)} is not an IPv${family} address`);
  const kind = whyNoNode(address);
  if (kind !== undefined)
    fail(where, `${text} is ${kind}`, 'give an address to which the other nodes can send');
  return formatAddress(address);
}

function families(selector: UnderlaySelector): Family[] {
  return [...(selector.v4 ? [4 as const] : []), ...(selector.v6 ? [6 as const] : [])];
}

/** For messages: name, addresses, MTU. */
export function describeUnderlay({ name, mtu, address4, address6 }: Underlay): string {
  return [name, address4, address6, `mtu ${mtu}`].filter(Boolean).join(' ');
}
