import { canonicalAddress, canonicalNetwork } from '../../../net/address-text.ts';
import { applyNft, applyNftScript, listNft, type NftObject } from '../../../net/nft/nft.ts';
import {
  DSTNAT,
  type Element,
  elementsIn,
  listElements,
  SRCNAT,
  TABLE,
  tagIn,
} from '../../rules/nft-elements.ts';
import { CniError } from '../../skel/errors.ts';
import { HOST_PORT_TAKEN, type Mapping, mappingsOf, type PortmapConfig } from './config.ts';

/*
 * Host ports as elements of maps: (protocol, port) or (address, protocol, port) to the pod's address and port. An
 * element is made with "create", so the kernel itself refuses a port that is taken, in the same transaction. Beside it
 * stands, by the same key, the chain that marks those connections that have to be masqueraded: from the pod's own
 * subnet (hairpin) and from the node itself. Mappings with conditions are rules of their own, in front.
 */

const FAMILIES = [
  { v6: false, digit: '4', ip: 'ip', nfproto: 'ipv4' },
  { v6: true, digit: '6', ip: 'ip6', nfproto: 'ipv6' },
] as const;
type FamilyWords = (typeof FAMILIES)[number];

const targets = ({ digit }: FamilyWords) => [`hostports${digit}`, `hostports${digit}_at`];
const marks = ({ digit }: FamilyWords) => [`hostmarks${digit}`, `hostmarks${digit}_at`];
const SETS = FAMILIES.flatMap(family => [...targets(family), ...marks(family)]);
const CONDITIONAL = 'hostports_if';

function base(): string {
  const maps = FAMILIES.map(family => {
    const [any, at] = targets(family);
    const [anyMark, atMark] = marks(family);
    // "typeof" would be read anew from the kernel by nft 1.0.6 with a dependency that it then refuses.
    const key = 'inet_proto . inet_service';
    const address = family.v6 ? 'ipv6_addr' : 'ipv4_addr';
    return `
add map inet ${TABLE} ${any} { type ${key} : ${address} . inet_service ; }
add map inet ${TABLE} ${at} { type ${address} . ${key} : ${address} . inet_service ; }
add map inet ${TABLE} ${anyMark} { type ${key} : verdict ; }
add map inet ${TABLE} ${atMark} { type ${address} . ${key} : verdict ; }`;
  });
  const rules = FAMILIES.map(family => {
    const [any, at] = targets(family);
    const [anyMark, atMark] = marks(family);
    const key = 'meta l4proto . th dport';
    const only = `add rule inet ${TABLE} hostports meta nfproto ${family.nfproto}`;
    return `
${only} ${family.ip} daddr . ${key} vmap @${atMark}
${only} ${key} vmap @${anyMark}
${only} dnat ${family.ip} to ${family.ip} daddr . ${key} map @${at}
${only} dnat ${family.ip} to ${key} map @${any}`;
  });
  return `
add table inet ${TABLE}
${maps.join('')}
add chain inet ${TABLE} ${CONDITIONAL}
add chain inet ${TABLE} hostports
flush chain inet ${TABLE} hostports
add rule inet ${TABLE} hostports jump ${CONDITIONAL}
${rules.join('')}
add chain inet ${TABLE} hostports_in { type nat hook prerouting priority ${DSTNAT} ; }
flush chain inet ${TABLE} hostports_in
add rule inet ${TABLE} hostports_in fib daddr type local jump hostports
add chain inet ${TABLE} hostports_local { type nat hook output priority ${DSTNAT} ; }
flush chain inet ${TABLE} hostports_local
add rule inet ${TABLE} hostports_local fib daddr type local jump hostports
`;
}

/** The chain that marks what has to be masqueraded, and what masquerades it. */
function markScript(config: PortmapConfig, family: FamilyWords, subnet: string, chain: string): string {
  const bit = config.mark.toString(16);
  const set = `meta mark set meta mark or 0x${bit}`;
  const sources = config.masqAll
    ? ['']
    : [`${family.ip} saddr ${subnet}`, ...(family.v6 ? [] : ['ip saddr 127.0.0.0/8'])];
  return `
add chain inet ${TABLE} ${chain}
flush chain inet ${TABLE} ${chain}
${sources.map(source => `add rule inet ${TABLE} ${chain} ${source} ${set}`).join('\n')}
add chain inet ${TABLE} hostports_masq_${bit} { type nat hook postrouting priority ${SRCNAT} ; }
flush chain inet ${TABLE} hostports_masq_${bit}
add rule inet ${TABLE} hostports_masq_${bit} meta mark and 0x${bit} == 0x${bit} masquerade
`;
}

function familyScript(
  config: PortmapConfig,
  family: FamilyWords,
  pod: string,
  tag: string,
  owner: string,
): string {
  const mappings = mappingsOf(config.mappings, family.v6);
  if (mappings.length === 0) return '';
  const subnet = canonicalNetwork(pod);
  const address = pod.split('/')[0]!;
  const masquerades = config.snat || config.masqAll;
  const chain = `hostmark_${config.mark.toString(16)}_${config.masqAll ? 'all' : 'own'}_${subnet.replace(/[:./]/g, '_')}`;
  const conditions = (family.v6 ? config.conditionsV6 : config.conditionsV4).join(' ');
  const comment = `comment "${tag} ${owner}"`;
  const lines = mappings.map(one => {
    const at = one.hostIp ? `${family.ip} daddr ${one.hostIp} ` : '';
    if (conditions) {
      const match = `meta nfproto ${family.nfproto} ${at}meta l4proto ${one.protocol} th dport ${one.hostPort} ${conditions}`;
      const target = family.v6 ? `[${address}]:${one.containerPort}` : `${address}:${one.containerPort}`;
      const mark = masquerades
        ? [`add rule inet ${TABLE} ${CONDITIONAL} ${match} jump ${chain} ${comment}`]
        : [];
      return [
        ...mark,
        `add rule inet ${TABLE} ${CONDITIONAL} ${match} dnat ${family.ip} to ${target} ${comment}`,
      ].join('\n');
    }
    const key = `${one.hostIp ? `${one.hostIp} . ` : ''}${one.protocol} . ${one.hostPort}`;
    const which = one.hostIp ? 1 : 0;
    const target = `create element inet ${TABLE} ${targets(family)[which]} { ${key} ${comment} : ${address} . ${one.containerPort} }`;
    if (!masquerades) return target;
    return `${target}\ncreate element inet ${TABLE} ${marks(family)[which]} { ${key} ${comment} : jump ${chain} }`;
  });
  return `${masquerades ? markScript(config, family, subnet, chain) : ''}\n${lines.join('\n')}\n`;
}

/**
 * Forwards the host ports to the pod, in one transaction.
 * @throws CniError 100 when another pod has one of them, naming port and pod
 */
export async function forwardNft(
  netns: string,
  config: PortmapConfig,
  pod: { v4?: string; v6?: string },
  tag: string,
  owner: string,
): Promise<void> {
  const scripts = FAMILIES.map(family => {
    const address = family.v6 ? pod.v6 : pod.v4;
    return address ? familyScript(config, family, address, tag, owner) : '';
  });
  await refuseTaken(netns, config, 'other');
  try {
    await applyNftScript(netns, base() + scripts.join(''));
  } catch (error) {
    if (!/File exists/.test((error as Error).message)) throw error;
    await refuseTaken(netns, config, 'own');
    throw error;
  }
}

interface Taken {
  protocol: string;
  port: number;
  address: string | undefined;
  element: Element;
}

function parseKey(element: Element): Taken | undefined {
  const { concat } = (element.key ?? {}) as { concat?: (string | number)[] };
  if (!concat) return undefined;
  const [protocol, port] = concat.slice(-2);
  return {
    protocol: String(protocol),
    port: Number(port),
    address: concat.length === 3 ? String(concat[0]) : undefined,
    element,
  };
}

/** As with sockets, a port on every address and the same port on one address exclude each other. */
function collide(one: Mapping, other: Taken): boolean {
  if (one.protocol !== other.protocol || one.hostPort !== other.port) return false;
  return one.hostIp === undefined || other.address === undefined || one.hostIp === other.address;
}

/**
 * @param where the map that is searched for a mapping's port: its own, where the kernel itself refuses it, or the family's
 *   other one, where only a search finds it
 * @throws CniError 100, naming who has it
 */
async function refuseTaken(netns: string, config: PortmapConfig, where: 'own' | 'other'): Promise<void> {
  for (const family of FAMILIES) {
    if ((family.v6 ? config.conditionsV6 : config.conditionsV4).length > 0) continue;
    const mappings = mappingsOf(config.mappings, family.v6);
    const [any, at] = targets(family);
    const searched = mappings.map(one => ((one.hostIp !== undefined) === (where === 'own') ? at : any));
    const sets = [...new Set(searched)].map(name => `map ${name}` as const);
    const taken = (await listElements(netns, 'inet', sets)).flatMap(one => parseKey(one) ?? []);
    for (const mapping of mappings) {
      const other = taken.find(one => collide(mapping, one));
      if (!other) continue;
      const [address, port] = (other.element.value as { concat?: unknown[] })?.concat ?? [];
      const owner = other.element.comment.slice(tagIn(other.element.comment).length + 1);
      const place = mapping.hostIp ? ` of ${mapping.hostIp}` : '';
      throw new CniError(
        HOST_PORT_TAKEN,
        `host port ${mapping.hostPort}/${mapping.protocol}${place} is taken: it is forwarded to ${address} port ${port} of container ${owner}`,
        'DEL that attachment or, when its container is gone, run GC on its network',
      );
    }
  }
}

/** Takes away the host ports of every tag that `wanted` accepts. */
export async function unforwardNft(netns: string, wanted: (tag: string) => boolean): Promise<void> {
  const { elements, rules } = await listOwned(netns, wanted);
  const commands = [
    ...rules.map(
      (handle): NftObject => ({
        delete: { rule: { family: 'inet', table: TABLE, chain: CONDITIONAL, handle } },
      }),
    ),
    ...elements.map(
      ({ set, key }): NftObject => ({
        delete: { element: { family: 'inet', table: TABLE, name: set, elem: [key] } },
      }),
    ),
  ];
  if (commands.length > 0) await applyNft(netns, commands);
}

/** What the accepted tags have in the table: elements, and handles of the rules with conditions. */
async function listOwned(
  netns: string,
  wanted: (tag: string) => boolean,
): Promise<{ elements: Element[]; rules: number[] }> {
  const objects = await listNft(netns, ['table', 'inet', TABLE]);
  const elements = elementsIn(objects, SETS).filter(one => wanted(tagIn(one.comment)));
  const rules = objects.flatMap(object => {
    const { chain, comment, handle } = (object.rule ?? {}) as {
      chain?: string;
      comment?: string;
      handle?: number;
    };
    const ours = chain === CONDITIONAL && comment !== undefined && wanted(tagIn(comment));
    return ours && handle !== undefined ? [handle] : [];
  });
  return { elements, rules };
}

/** True when every mapping of this tag leads to the pod, in both families. */
export async function isForwardedNft(
  netns: string,
  config: PortmapConfig,
  pod: { v4?: string; v6?: string },
  tag: string,
): Promise<boolean> {
  const { elements, rules } = await listOwned(netns, one => one === tag);
  let conditional = 0;
  for (const family of FAMILIES) {
    const cidr = family.v6 ? pod.v6 : pod.v4;
    const mappings = mappingsOf(config.mappings, family.v6);
    if (!cidr) continue;
    const address = canonicalAddress(cidr.split('/')[0]!);
    if ((family.v6 ? config.conditionsV6 : config.conditionsV4).length > 0) {
      conditional += mappings.length;
      continue;
    }
    const there = elements
      .filter(one => targets(family).includes(one.set))
      .flatMap(one => parseKey(one) ?? [])
      .filter(one => targetOf(one.element)?.address === address);
    for (const one of mappings) {
      const isThere = there.some(
        found =>
          found.protocol === one.protocol &&
          found.port === one.hostPort &&
          found.address === one.hostIp &&
          targetOf(found.element)?.port === one.containerPort,
      );
      if (!isThere) return false;
    }
  }
  // The marks of mappings with conditions are rules as well, so there may be more.
  return rules.length >= conditional;
}

/** Address and port that an element of a map of targets leads to. */
function targetOf({ value }: Element): { address: string; port: number } | undefined {
  const [address, port] = (value as { concat?: unknown[] } | undefined)?.concat ?? [];
  return address === undefined ? undefined : { address: String(address), port: Number(port) };
}

/** Takes away host ports of other tags that lead to an address that this pod has been given: those pods are gone. */
export async function displaceNft(
  netns: string,
  pod: { v4?: string; v6?: string },
  tag: string,
): Promise<void> {
  const addresses = [pod.v4, pod.v6].flatMap(cidr => (cidr ? canonicalAddress(cidr.split('/')[0]!) : []));
  const { elements } = await listOwned(netns, one => one !== tag);
  const stale = elements
    .filter(one => addresses.includes(targetOf(one)?.address ?? ''))
    .map(one => tagIn(one.comment));
  if (stale.length > 0) await unforwardNft(netns, one => stale.includes(one));
}

/** @throws CniError 100 when another pod of ours has one of the ports in nftables, for a pod that goes to iptables */
export async function refuseTakenNft(netns: string, config: PortmapConfig): Promise<void> {
  for (const where of ['own', 'other'] as const) await refuseTaken(netns, config, where);
}
