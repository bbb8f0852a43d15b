import { createHash } from 'node:crypto';
import { canonicalAddress, canonicalNetwork } from '../../../net/address-text.ts';
import {
  restoreIptables,
  rulesOfChain,
  saveIptables,
  splitRule,
  type Variant,
  variantsInUse,
} from '../../../net/iptables.ts';
import type { Attachment } from '../../config/network.ts';
import { ensureChain, ensureRule, withChainsLock } from '../../rules/iptables-chains.ts';
import { CniError } from '../../skel/errors.ts';
import type { Call } from '../../skel/plugin.ts';
import { HOST_PORT_TAKEN, type Mapping, mappingsOf, type PortmapConfig } from './config.ts';

/*
 * The reference plugin's chains by the same names: CNI-HOSTPORT-DNAT, reached from PREROUTING and OUTPUT for local
 * destinations, leads by protocol and port to a chain a pod, CNI-DN-<hash>, which marks what has to be masqueraded and
 * translates the rest.
 */

const DNAT = 'CNI-HOSTPORT-DNAT';
const SETMARK = 'CNI-HOSTPORT-SETMARK';
const MASQ = 'CNI-HOSTPORT-MASQ';
const PREFIX = 'CNI-DN-';
/** Longest chain name of iptables that the reference plugins use. */
const CHAIN_MAX = 28;
/** Ports that one multiport match takes. */
const PORTS_MAX = 15;
const FAMILIES = [4, 6] as const;

function chainOf(network: string, containerId: string): string {
  return (
    PREFIX +
    createHash('sha512')
      .update(network + containerId)
      .digest('hex')
      .slice(0, CHAIN_MAX - PREFIX.length)
  );
}

const ownChain = (call: Call) => chainOf(call.name, call.containerId);

function commentOf(network: string, containerId: string): string {
  return `-m comment --comment "dnat name: \\"${network}\\" id: \\"${containerId}\\""`;
}

/** The frame that all pods share. Its chains are made and filled in one transaction each time, which changes nothing. */
async function ensureChains(netns: string, family: 4 | 6, config: PortmapConfig): Promise<void> {
  const mark = `0x${config.mark.toString(16)}/0x${config.mark.toString(16)}`;
  const lines = [
    '*nat',
    `:${SETMARK} - [0:0]`,
    `:${MASQ} - [0:0]`,
    `-A ${SETMARK} -m comment --comment "CNI portfwd masquerade mark" -j MARK --set-xmark ${mark}`,
    `-A ${MASQ} -m mark --mark ${mark} -j MASQUERADE`,
    'COMMIT',
    '',
  ];
  await restoreIptables(netns, family, lines.join('\n'));
  await ensureChain(netns, family, 'nat', DNAT);
  for (const chain of ['PREROUTING', 'OUTPUT']) {
    await ensureRule(netns, family, 'nat', chain, ['-m', 'addrtype', '--dst-type', 'LOCAL', '-j', DNAT]);
  }
  await ensureRule(netns, family, 'nat', 'POSTROUTING', [
    '-m',
    'comment',
    '--comment',
    'CNI portfwd requiring masquerade',
    '-j',
    MASQ,
  ]);
}

/** Forwards the host ports; whether they are free is asked before, by `clearPortsIptables`. */
export async function forwardIptables(
  call: Call,
  config: PortmapConfig,
  pod: { v4?: string; v6?: string },
): Promise<void> {
  const { netns } = call.host;
  const chain = ownChain(call);
  for (const family of FAMILIES) {
    const cidr = family === 6 ? pod.v6 : pod.v4;
    const mappings = mappingsOf(config.mappings, family === 6);
    if (!cidr || mappings.length === 0) continue;
    await withChainsLock(() => ensureChains(netns, family, config));
    const conditions = (family === 6 ? config.conditionsV6 : config.conditionsV4).join(' ');
    const address = cidr.split('/')[0]!;
    const comment = commentOf(call.name, call.containerId);
    const setMark = config.externalSetMarkChain ?? SETMARK;
    const sources = config.masqAll
      ? ['']
      : [`-s ${canonicalNetwork(cidr)}`, ...(family === 4 ? ['-s 127.0.0.1/32'] : [])];
    const rules = mappings.flatMap(one => {
      const match = `-A ${chain} -p ${one.protocol} -m ${one.protocol} --dport ${one.hostPort}${one.hostIp ? ` -d ${one.hostIp}` : ''}`;
      const target = family === 6 ? `[${address}]:${one.containerPort}` : `${address}:${one.containerPort}`;
      const marking =
        config.snat || config.masqAll ? sources.map(source => `${match} ${source} -j ${setMark}`) : [];
      return [...marking, `${match} ${comment} -j DNAT --to-destination ${target}`];
    });
    const entries = portGroups(mappings).map(
      ({ protocol, ports }) =>
        `-A ${DNAT} -p ${protocol} ${comment} -m multiport --dports ${ports.join(',')} ${conditions} -j ${chain}`,
    );
    await restoreIptables(
      netns,
      family,
      ['*nat', `:${chain} - [0:0]`, ...rules, ...entries, 'COMMIT', ''].join('\n'),
    );
  }
}

function portGroups(mappings: readonly { protocol: string; hostPort: number }[]) {
  const groups: { protocol: string; ports: number[] }[] = [];
  for (const { protocol, hostPort } of mappings) {
    if (groups.some(one => one.protocol === protocol && one.ports.includes(hostPort))) continue;
    const open = groups.find(one => one.protocol === protocol && one.ports.length < PORTS_MAX);
    if (open) open.ports.push(hostPort);
    else groups.push({ protocol, ports: [hostPort] });
  }
  return groups;
}

/** Translations of one pod chain: what `-j DNAT` says. */
interface Translation {
  chain: string;
  protocol: string;
  port: string;
  /** Address of the node; undefined: every one. */
  at: string | undefined;
  /** Address and port of the pod, as `10.1.0.2:80` or `[fd00::2]:80`. */
  to: string;
}

function translationsIn(saved: string): Translation[] {
  return saved
    .split('\n')
    .filter(line => line.startsWith(`-A ${PREFIX}`) && line.includes('-j DNAT'))
    .map(line => {
      const words = splitRule(line);
      const after = (flag: string) => words[words.indexOf(flag) + 1] ?? '';
      const at = words.includes('-d') ? after('-d').split('/')[0] : undefined;
      return {
        chain: words[1]!,
        protocol: after('-p'),
        port: after('--dport'),
        at,
        to: after('--to-destination'),
      };
    });
}

const addressIn = (to: string) => to.slice(0, to.lastIndexOf(':')).replace(/^\[|\]$/g, '');

/**
 * Before host ports are forwarded, by either back end: looks through the pods' chains for translations of the same ports.
 * A chain that leads to the very address that this pod has been given belongs to a pod that is gone, and is removed.
 * @throws CniError 100 for a port that is forwarded to another address
 */
export async function clearPortsIptables(
  call: Call,
  config: PortmapConfig,
  pod: { v4?: string; v6?: string },
): Promise<void> {
  const { netns } = call.host;
  const own = ownChain(call);
  for (const family of FAMILIES) {
    const cidr = family === 6 ? pod.v6 : pod.v4;
    const mappings = mappingsOf(config.mappings, family === 6);
    if (!cidr || mappings.length === 0) continue;
    const address = canonicalAddress(cidr.split('/')[0]!);
    for (const variant of await variantsInUse(netns, family, 'nat', DNAT)) {
      const others = translationsIn(await saveIptables(netns, family, 'nat', variant)).filter(
        one => one.chain !== own,
      );
      const left = new Set(others.filter(one => addressIn(one.to) === address).map(one => one.chain));
      if (left.size > 0) await removeChains(netns, family, variant, chain => left.has(chain));
      for (const one of mappings)
        refuseTaken(
          others.filter(other => !left.has(other.chain)),
          one,
        );
    }
  }
}

function refuseTaken(others: readonly Translation[], { protocol, hostPort, hostIp }: Mapping): void {
  for (const { chain, at, to, ...one } of others) {
    if (one.protocol !== protocol || one.port !== String(hostPort)) continue;
    if (hostIp !== undefined && at !== undefined && at !== hostIp) continue;
    throw new CniError(
      HOST_PORT_TAKEN,
      `host port ${hostPort}/${protocol} is taken: chain ${chain} forwards it to ${to}`,
      'DEL that attachment or, when its container is gone, run GC on its network',
    );
  }
}

async function removeChains(
  netns: string,
  family: 4 | 6,
  variant: Variant,
  wanted: (chain: string, entries: string[]) => boolean,
): Promise<void> {
  const saved = await saveIptables(netns, family, 'nat', variant);
  const entries = rulesOfChain(saved, DNAT);
  const entriesOf = (chain: string) => entries.filter(rule => splitRule(rule).at(-1) === chain);
  const chains = [...saved.matchAll(/^:(CNI-DN-[0-9a-f]{21}) /gm)].map(match => match[1]!);
  // The entry may be lost while the chain is there; its translations carry the same comment.
  const stale = chains.filter(chain => wanted(chain, [...entriesOf(chain), ...rulesOfChain(saved, chain)]));
  if (stale.length === 0) return;
  const lines = [
    '*nat',
    ...stale.flatMap(entriesOf).map(rule => rule.replace(/^-A/, '-D')),
    ...stale.flatMap(chain => [`-F ${chain}`, `-X ${chain}`]),
    'COMMIT',
    '',
  ];
  await restoreIptables(netns, family, lines.join('\n'), variant);
}

/** Takes the pod's chain away, in whichever variant of iptables it is. */
export async function unforwardIptables(call: Call): Promise<void> {
  const { netns } = call.host;
  const own = ownChain(call);
  for (const family of FAMILIES)
    for (const variant of await variantsInUse(netns, family, 'nat', own))
      await removeChains(netns, family, variant, chain => chain === own);
}

/** Takes away the chains of this network whose container no attachment is alive of. */
export async function collectPortsIptables(call: Call, valid: readonly Attachment[]): Promise<void> {
  const { netns } = call.host;
  const living = new Set(valid.map(one => chainOf(call.name, one.containerID)));
  const mark = `dnat name: "${call.name}" id: `;
  const ours = (entries: string[]) =>
    entries.some(rule => splitRule(rule).some(word => word.startsWith(mark)));
  for (const family of FAMILIES)
    for (const variant of await variantsInUse(netns, family, 'nat'))
      await removeChains(netns, family, variant, (chain, entries) => !living.has(chain) && ours(entries));
}

/** True when one variant of iptables forwards every mapping to the pod, in both families. */
export async function isForwardedIptables(
  call: Call,
  config: PortmapConfig,
  pod: { v4?: string; v6?: string },
): Promise<boolean> {
  for (const family of FAMILIES) {
    const cidr = family === 6 ? pod.v6 : pod.v4;
    const mappings = mappingsOf(config.mappings, family === 6);
    if (!cidr || mappings.length === 0) continue;
    const address = canonicalAddress(cidr.split('/')[0]!);
    const wanted = mappings.map(one => ({ ...one, to: hostPort(address, one.containerPort) }));
    if (!(await hasTranslations(call, family, wanted))) return false;
  }
  return true;
}

const hostPort = (address: string, port: number) =>
  address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;

async function hasTranslations(
  call: Call,
  family: 4 | 6,
  wanted: readonly (Mapping & { to: string })[],
): Promise<boolean> {
  const { netns } = call.host;
  const own = ownChain(call);
  for (const variant of await variantsInUse(netns, family, 'nat', own)) {
    const saved = await saveIptables(netns, family, 'nat', variant);
    const isReached = rulesOfChain(saved, DNAT).some(rule => splitRule(rule).at(-1) === own);
    const there = translationsIn(saved).filter(one => one.chain === own);
    const isThere = (mapping: Mapping & { to: string }) =>
      there.some(
        one =>
          one.protocol === mapping.protocol &&
          one.port === String(mapping.hostPort) &&
          one.at === mapping.hostIp &&
          one.to === mapping.to,
      );
    if (isReached && wanted.every(isThere)) return true;
  }
  return false;
}
