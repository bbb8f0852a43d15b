import { messageOf } from '../../../base/errors.ts';
import { canonicalAddress, type Family } from '../../../ip/address.ts';
import { canonicalNetwork } from '../../../ip/prefix.ts';
import { commentedRules } from '../../../net/nft/comments.ts';
import { applyNft, applyNftScript, type NftObject } from '../../../net/nft/nft.ts';
import { callTag, staleTags } from '../../link/tag.ts';
import { hostPart } from '../../result/types.ts';
import type { RuleBackend } from '../../rules/backend.ts';
import {
  DSTNAT,
  deletionOf,
  type Element,
  listElements,
  SRCNAT,
  TABLE,
  type TaggedSet,
  tagIn,
} from '../../rules/nft-elements.ts';
import type { Call } from '../../skel/plugin.ts';
import {
  describeAll,
  destinationOf,
  type FamilyPorts,
  type Forwarding,
  familyPorts,
  type HostPorts,
  missingMappings,
  type PortmapConfig,
  refuseTaken,
} from './config.ts';

/*
 * Host ports as elements of maps: (protocol, port) or (address, protocol, port) to the pod's address and port. An
 * element is made with "create", so the kernel itself refuses a port that is taken, in the same transaction. A second
 * map has, under the same key, the chain that marks those connections that have to be masqueraded: from the pod's own
 * subnet (hairpin) and from the node itself. Mappings with conditions are rules of their own, in front.
 */

/** What nft calls the families. */
const WORDS = [
  { number: 4, ip: 'ip', nfproto: 'ipv4', address: 'ipv4_addr' },
  { number: 6, ip: 'ip6', nfproto: 'ipv6', address: 'ipv6_addr' },
] as const;
type Words = (typeof WORDS)[number];

const wordsOf = (family: Family): Words => (family === 6 ? WORDS[1] : WORDS[0]);

/** The maps of a family: ports on every address of the node, and on one (`at`); their targets, and their marks. */
const mapsOf = ({ number }: Words) => ({
  any: `hostports${number}`,
  at: `hostports${number}_at`,
  anyMark: `hostmarks${number}`,
  atMark: `hostmarks${number}_at`,
});
/** The maps of a family to the addresses of pods, on every address of the node and on one. */
const targetsOf = (family: Words): { any: TaggedSet; at: TaggedSet } => {
  const { any, at } = mapsOf(family);
  const port = ['inet_proto', 'inet_service'] as const;
  const value = [family.address, 'inet_service'] as const;
  return { any: { name: any, key: port, value }, at: { name: at, key: [family.address, ...port], value } };
};
const TARGETS = WORDS.flatMap(family => Object.values(targetsOf(family)));
/** To verdicts, by the same keys. */
const MARKS = WORDS.flatMap((family): TaggedSet[] => {
  const [{ any, at }, { anyMark, atMark }] = [targetsOf(family), mapsOf(family)];
  return [
    { name: anyMark, key: any.key },
    { name: atMark, key: at.key },
  ];
});
/** Longest part of a container's id in a comment, characters. */
const OWNER_MAX = 64;
const CONDITIONAL = 'hostports_if';

function base(): string {
  const maps = WORDS.map(family => {
    const { any, at, anyMark, atMark } = mapsOf(family);
    // Not "typeof": nft 1.0.6 reads it back from the kernel with a dependency that it then refuses.
    const key = 'inet_proto . inet_service';
    const { address } = family;
    return `
add map inet ${TABLE} ${any} { type ${key} : ${address} . inet_service ; }
add map inet ${TABLE} ${at} { type ${address} . ${key} : ${address} . inet_service ; }
add map inet ${TABLE} ${anyMark} { type ${key} : verdict ; }
add map inet ${TABLE} ${atMark} { type ${address} . ${key} : verdict ; }`;
  });
  const rules = WORDS.map(family => {
    const { any, at, anyMark, atMark } = mapsOf(family);
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
function markScript(config: PortmapConfig, family: Words, subnet: string, chain: string): string {
  const bit = config.mark.toString(16);
  const set = `meta mark set meta mark or 0x${bit}`;
  const sources = config.masqAll
    ? ['']
    : [`${family.ip} saddr ${subnet}`, ...(family.number === 6 ? [] : ['ip saddr 127.0.0.0/8'])];
  return `
add chain inet ${TABLE} ${chain}
flush chain inet ${TABLE} ${chain}
${sources.map(source => `add rule inet ${TABLE} ${chain} ${source} ${set}`).join('\n')}
add chain inet ${TABLE} hostports_masq_${bit} { type nat hook postrouting priority ${SRCNAT} ; }
flush chain inet ${TABLE} hostports_masq_${bit}
add rule inet ${TABLE} hostports_masq_${bit} meta mark and 0x${bit} == 0x${bit} masquerade
`;
}

function familyScript(config: PortmapConfig, ports: FamilyPorts, tag: string, owner: string): string {
  const { cidr, mappings, conditions } = ports;
  const family = wordsOf(ports.family);
  const maps = mapsOf(family);
  const subnet = canonicalNetwork(cidr);
  const address = hostPart(cidr);
  const chain = `hostmark_${config.mark.toString(16)}_${config.masqAll ? 'all' : 'own'}_${subnet.replace(/[:./]/g, '_')}`;
  const comment = `comment "${tag} ${owner}"`;
  const lines = mappings.map(one => {
    if (conditions) {
      const at = one.hostIp ? `${family.ip} daddr ${one.hostIp} ` : '';
      const match = `meta nfproto ${family.nfproto} ${at}meta l4proto ${one.protocol} th dport ${one.hostPort} ${conditions}`;
      const rule = `add rule inet ${TABLE} ${CONDITIONAL} ${match}`;
      const mark = config.snat ? `${rule} jump ${chain} ${comment}\n` : '';
      return `${mark}${rule} dnat ${family.ip} to ${destinationOf(address, one.containerPort)} ${comment}`;
    }
    const key = `${one.hostIp ? `${one.hostIp} . ` : ''}${one.protocol} . ${one.hostPort}`;
    const target = `create element inet ${TABLE} ${one.hostIp ? maps.at : maps.any} { ${key} ${comment} : ${address} . ${one.containerPort} }`;
    if (!config.snat) return target;
    return `${target}\ncreate element inet ${TABLE} ${one.hostIp ? maps.atMark : maps.anyMark} { ${key} ${comment} : jump ${chain} }`;
  });
  return `${config.snat ? markScript(config, family, subnet, chain) : ''}\n${lines.join('\n')}\n`;
}

/** ADD is one transaction. @throws CniError 100 when another pod has one of the ports, naming port and pod */
export const nftHostPorts: RuleBackend<HostPorts> = {
  async add(call, rules) {
    const { netns } = call.host;
    const owner = call.containerId.slice(0, OWNER_MAX);
    const scripts = familyPorts(rules).map(ports => familyScript(rules, ports, callTag(call), owner));
    await refuseTakenIn(netns, rules, 'other');
    try {
      await applyNftScript(netns, base() + scripts.join(''));
    } catch (error) {
      if (!/File exists/.test(messageOf(error))) throw error;
      await refuseTakenIn(netns, rules, 'own');
      throw error;
    }
  },

  async remove(call) {
    const tag = callTag(call);
    await removeOwned(call.host.netns, one => one === tag);
  },

  async check(call, rules) {
    const tag = callTag(call);
    const { elements, rules: handles } = listOwned(call.host.netns, one => one === tag);
    const there = elements.flatMap(one => forwardingOf(one) ?? []);
    const families = familyPorts(rules);
    const isConditional = (ports: FamilyPorts) => ports.conditions !== '';
    const missing = families
      .filter(ports => !isConditional(ports))
      .flatMap(ports => missingMappings(ports, there));
    const conditional = families.filter(isConditional).flatMap(describeAll);
    // A mapping with conditions is one rule, and another one where it is masqueraded.
    return handles.length < conditional.length ? [...missing, ...conditional] : missing;
  },

  async gc(call, valid) {
    await removeOwned(call.host.netns, staleTags(call.name, valid));
  },
};

/** Undefined for an element of a map of marks. */
function forwardingOf({ key, value, comment }: Element): Forwarding | undefined {
  if (!value) return undefined;
  const [protocol, port] = key.slice(-2);
  const [address, containerPort] = value;
  return {
    protocol: String(protocol),
    hostPort: Number(port),
    hostIp: key.length === 3 ? String(key[0]) : undefined,
    address: String(address),
    containerPort: Number(containerPort),
    owner: `container ${comment.slice(tagIn(comment).length + 1)}`,
  };
}

/**
 * @param where the map that is searched for a mapping's port: its own, where the kernel itself refuses it, or the family's
 *   other one, where only a search finds it
 * @throws CniError 100 for a port that another pod has
 */
async function refuseTakenIn(netns: string, rules: HostPorts, where: 'own' | 'other'): Promise<void> {
  for (const { family, mappings, conditions } of familyPorts(rules)) {
    if (conditions !== '') continue;
    const { any, at } = targetsOf(wordsOf(family));
    const searched = mappings.map(one => ((one.hostIp !== undefined) === (where === 'own') ? at : any));
    const elements = listElements(netns, 'inet', [...new Set(searched)]);
    refuseTaken(
      mappings,
      elements.flatMap(one => forwardingOf(one) ?? []),
    );
  }
}

/** Removes the host ports of every tag that `wanted` accepts. */
async function removeOwned(netns: string, wanted: (tag: string) => boolean): Promise<void> {
  const { elements, rules } = listOwned(netns, wanted);
  const commands = [
    ...rules.map(
      (handle): NftObject => ({
        delete: { rule: { family: 'inet', table: TABLE, chain: CONDITIONAL, handle } },
      }),
    ),
    ...elements.map(one => deletionOf('inet', one)),
  ];
  await applyNft(netns, commands);
}

/** What the accepted tags have in the table: elements, and handles of the rules with conditions. */
function listOwned(
  netns: string,
  wanted: (tag: string) => boolean,
): { elements: Element[]; rules: number[] } {
  const isWanted = (comment: string) => wanted(tagIn(comment));
  const rules = commentedRules(netns, 'inet', TABLE, CONDITIONAL).filter(one => isWanted(one.comment));
  return {
    elements: listElements(netns, 'inet', [...TARGETS, ...MARKS], isWanted),
    rules: rules.map(one => one.handle),
  };
}

/** Removes host ports of other tags that forward to an address of this pod: those pods no longer exist. */
export async function displaceNft(call: Call, { pod }: HostPorts): Promise<void> {
  const { netns } = call.host;
  const tag = callTag(call);
  const addresses = [pod.v4, pod.v6].flatMap(cidr => (cidr ? canonicalAddress(hostPart(cidr)) : []));
  const stale = listElements(netns, 'inet', TARGETS)
    .filter(one => addresses.includes(forwardingOf(one)?.address ?? ''))
    .map(one => tagIn(one.comment))
    .filter(one => one !== tag);
  if (stale.length > 0) await removeOwned(netns, one => stale.includes(one));
}

/** @throws CniError 100 when another pod of ours has one of the ports in nftables, for a pod that goes to iptables */
export async function refuseTakenNft({ host }: Call, rules: HostPorts): Promise<void> {
  for (const where of ['own', 'other'] as const) await refuseTakenIn(host.netns, rules, where);
}
