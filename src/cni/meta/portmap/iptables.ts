import { createHash } from 'node:crypto';
import { restoreIptables, rulesOfChain, saveIptables, splitRule } from '../../../net/iptables.ts';
import { canonicalNetwork } from '../../../net/text.ts';
import type { Attachment } from '../../config/network.ts';
import { CniError } from '../../skel/errors.ts';
import type { Call } from '../../skel/plugin.ts';
import { ensureChain, ensureRule, withFrameLock } from '../../wiring/iptables-frame.ts';
import { mappingsOf, type PortmapConfig } from './config.ts';
import { HOST_PORT_TAKEN } from './nft.ts';

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
async function ensureFrame(netns: string, family: 4 | 6, config: PortmapConfig): Promise<void> {
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

/** @throws CniError 100 when another pod has one of the ports */
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
    await withFrameLock(() => ensureFrame(netns, family, config));
    const saved = await saveIptables(netns, family, 'nat');
    for (const one of mappings) refuseTaken(saved, one.protocol, one.hostPort, one.hostIp, chain);
    const conditions = (family === 6 ? config.conditionsV6 : config.conditionsV4).join(' ');
    const address = cidr.split('/')[0];
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

/** Looks through the pods' chains for a translation of the same port that is not of `own`. */
function refuseTaken(
  saved: string,
  protocol: string,
  port: number,
  hostIp: string | undefined,
  own: string,
): void {
  for (const line of saved.split('\n')) {
    if (!line.startsWith(`-A ${PREFIX}`) || !line.includes('-j DNAT')) continue;
    const words = splitRule(line);
    const after = (flag: string) => words[words.indexOf(flag) + 1];
    if (words[1] === own || after('-p') !== protocol || after('--dport') !== String(port)) continue;
    const at = words.includes('-d') ? after('-d')!.split('/')[0] : undefined;
    if (hostIp !== undefined && at !== undefined && at !== hostIp) continue;
    throw new CniError(
      HOST_PORT_TAKEN,
      `host port ${port}/${protocol} is taken: chain ${words[1]} forwards it to ${after('--to-destination')}`,
      'DEL that attachment or, when its container is gone, run GC on its network',
    );
  }
}

async function removeChains(
  netns: string,
  family: 4 | 6,
  wanted: (chain: string, entries: string[]) => boolean,
): Promise<void> {
  const saved = await saveIptables(netns, family, 'nat');
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
  await restoreIptables(netns, family, lines.join('\n'));
}

export async function unforwardIptables(call: Call): Promise<void> {
  const own = ownChain(call);
  for (const family of FAMILIES) await removeChains(call.host.netns, family, chain => chain === own);
}

/** Takes away the chains of this network whose container no attachment is alive of. */
export async function collectPortsIptables(call: Call, valid: readonly Attachment[]): Promise<void> {
  const living = new Set(valid.map(one => chainOf(call.name, one.containerID)));
  const mark = `dnat name: "${call.name}" id: `;
  const ours = (entries: string[]) =>
    entries.some(rule => splitRule(rule).some(word => word.startsWith(mark)));
  for (const family of FAMILIES) {
    await removeChains(call.host.netns, family, (chain, entries) => !living.has(chain) && ours(entries));
  }
}

/** Translations in the pod's chain, where something leads to it; both families counted. */
export async function countForwardedIptables(call: Call): Promise<number> {
  const chain = ownChain(call);
  let count = 0;
  for (const family of FAMILIES) {
    const saved = await saveIptables(call.host.netns, family, 'nat');
    const reached = rulesOfChain(saved, DNAT).some(rule => splitRule(rule).at(-1) === chain);
    if (reached) count += rulesOfChain(saved, chain).filter(rule => rule.includes('-j DNAT')).length;
  }
  return count;
}
