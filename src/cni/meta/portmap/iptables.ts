import type { Family } from '../../../ip/address.ts';
import { canonicalNetwork } from '../../../ip/prefix.ts';
import { rulesOfChain, saveIptables, variantsInUse } from '../../../net/iptables.ts';
import { splitRule } from '../../../net/iptables-words.ts';
import { hostPart } from '../../result/types.ts';
import type { RuleBackend } from '../../rules/backend.ts';
import {
  applyLines,
  ensureChain,
  ensureRule,
  PodChains,
  withChainsLock,
} from '../../rules/iptables-chains.ts';
import type { Call } from '../../skel/plugin.ts';
import {
  addressOf,
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
 * The reference plugin's chains by the same names: CNI-HOSTPORT-DNAT, reached from PREROUTING and OUTPUT for local
 * destinations, leads by protocol and port to one chain per pod, CNI-DN-<hash>, which marks what has to be masqueraded and
 * translates the rest.
 */

const DNAT = 'CNI-HOSTPORT-DNAT';
const SETMARK = 'CNI-HOSTPORT-SETMARK';
const MASQ = 'CNI-HOSTPORT-MASQ';
const PREFIX = 'CNI-DN-';
const CHAINS = new PodChains(PREFIX, DNAT, 'dnat ');
/** Ports that one multiport match takes. */
const PORTS_MAX = 15;

/** The chains that all pods share. Their rules are the same each time, so that filling them again changes nothing. */
async function ensureChains(netns: string, family: Family, config: PortmapConfig): Promise<void> {
  const mark = `0x${config.mark.toString(16)}/0x${config.mark.toString(16)}`;
  await applyLines(netns, family, 'nat', [
    `:${SETMARK} - [0:0]`,
    `:${MASQ} - [0:0]`,
    `-A ${SETMARK} -m comment --comment "CNI portfwd masquerade mark" -j MARK --set-xmark ${mark}`,
    `-A ${MASQ} -m mark --mark ${mark} -j MASQUERADE`,
  ]);
  await ensureChain(netns, family, 'nat', DNAT);
  for (const chain of ['PREROUTING', 'OUTPUT']) {
    await ensureRule(netns, family, 'nat', chain, ['-m', 'addrtype', '--dst-type', 'LOCAL', '-j', DNAT]);
  }
  const comment = ['-m', 'comment', '--comment', 'CNI portfwd requiring masquerade'];
  await ensureRule(netns, family, 'nat', 'POSTROUTING', [...comment, '-j', MASQ]);
}

/** The chain of the pod and the rules that lead to it. */
function podLines(call: Call, config: PortmapConfig, ports: FamilyPorts): string[] {
  const { family, cidr, mappings, conditions } = ports;
  const chain = CHAINS.nameOf(call.name, call.containerId);
  const comment = CHAINS.commentOf(call);
  const setMark = config.externalSetMarkChain || SETMARK;
  const sources = config.masqAll
    ? ['']
    : [`-s ${canonicalNetwork(cidr)}`, ...(family === 4 ? ['-s 127.0.0.1/32'] : [])];
  const rules = mappings.flatMap(one => {
    const match = `-A ${chain} -p ${one.protocol} -m ${one.protocol} --dport ${one.hostPort}${one.hostIp ? ` -d ${one.hostIp}` : ''}`;
    const target = destinationOf(hostPart(cidr), one.containerPort);
    const marking = config.snat ? sources.map(source => `${match} ${source} -j ${setMark}`) : [];
    return [...marking, `${match} -j DNAT --to-destination ${target}`];
  });
  const entries = portGroups(mappings).map(
    group =>
      `-A ${DNAT} -p ${group.protocol} ${comment} -m multiport --dports ${group.ports.join(',')} ${conditions} -j ${chain}`,
  );
  // Without a target: it names the attachment for GC. The reference checks the other rules by their text.
  const name = `-A ${chain} ${comment}`;
  return [`:${chain} - [0:0]`, name, ...rules, ...entries];
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

/** Whether host ports are free is asked before, by `clearPortsIptables`. */
export const iptablesHostPorts: RuleBackend<HostPorts> = {
  async add(call, rules) {
    const { netns } = call.host;
    for (const ports of familyPorts(rules)) {
      await withChainsLock(() => ensureChains(netns, ports.family, rules));
      await applyLines(netns, ports.family, 'nat', podLines(call, rules, ports));
    }
  },

  remove: call => CHAINS.remove(call),

  async check(call, rules) {
    const missing: string[] = [];
    for (const ports of familyPorts(rules))
      missing.push(...missingMappings(ports, await forwardingsOf(call, ports.family)));
    return missing;
  },

  gc: (call, valid) => CHAINS.gc(call, valid),
};

/** The translations of all pods' chains; each is owned by its chain. */
function forwardingsIn(saved: string): Forwarding[] {
  return saved
    .split('\n')
    .filter(line => line.startsWith(`-A ${PREFIX}`) && line.includes('-j DNAT'))
    .map(line => {
      const words = splitRule(line);
      const after = (flag: string) => words[words.indexOf(flag) + 1] ?? '';
      const [, address = '', port] = /^\[?(.*?)\]?:(\d+)$/.exec(after('--to-destination')) ?? [];
      return {
        protocol: after('-p'),
        hostPort: Number(after('--dport')),
        hostIp: words.includes('-d') ? hostPart(after('-d')) : undefined,
        address,
        containerPort: Number(port),
        owner: words[1] ?? '',
      };
    });
}

/** The translations of the pod's chain, in the variants of iptables in which the chain is reached. */
async function forwardingsOf(call: Call, family: Family): Promise<Forwarding[]> {
  const { netns } = call.host;
  const own = CHAINS.nameOf(call.name, call.containerId);
  const found: Forwarding[] = [];
  for (const variant of await variantsInUse(netns, family, 'nat', own)) {
    const saved = await saveIptables(netns, family, 'nat', variant);
    const isReached = rulesOfChain(saved, DNAT).some(rule => splitRule(rule).at(-1) === own);
    if (isReached) found.push(...forwardingsIn(saved).filter(one => one.owner === own));
  }
  return found;
}

/**
 * Before host ports are forwarded, by either back end: looks through the pods' chains for translations of the same ports.
 * A chain that forwards to the address of this pod belongs to a pod that no longer exists, and is removed.
 * @throws CniError 100 for a port that is forwarded to another address
 */
export async function clearPortsIptables(call: Call, rules: HostPorts): Promise<void> {
  const { netns } = call.host;
  const own = CHAINS.nameOf(call.name, call.containerId);
  for (const ports of familyPorts(rules)) {
    const address = addressOf(ports);
    for (const variant of await variantsInUse(netns, ports.family, 'nat', DNAT)) {
      const saved = await saveIptables(netns, ports.family, 'nat', variant);
      const others = forwardingsIn(saved).filter(one => one.owner !== own);
      const left = new Set(others.filter(one => one.address === address).map(one => one.owner));
      if (left.size > 0) await CHAINS.removeFrom(netns, ports.family, variant, chain => left.has(chain));
      const taken = others.filter(other => !left.has(other.owner));
      refuseTaken(ports.mappings, taken);
    }
  }
}
