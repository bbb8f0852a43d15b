import { canonicalAddress, type Family } from '../../ip/address.ts';
import { canonicalNetwork } from '../../ip/prefix.ts';
import { rulesOfChain, saveIptables, variantsInUse } from '../../net/iptables.ts';
import { splitRule } from '../../net/iptables-words.ts';
import { type AssignedAddress, hostPart, isV6 } from '../result/types.ts';
import type { Call } from '../skel/plugin.ts';
import type { RuleBackend } from './backend.ts';
import { applyLines, FAMILIES, PodChains } from './iptables-chains.ts';

/*
 * The reference plugins' rules: the attachment's chain accepts the subnet and masquerades the rest, POSTROUTING jumps to it
 * by source address.
 */

const CHAINS = new PodChains('CNI-', 'POSTROUTING', '');

const ofFamily = (ips: readonly AssignedAddress[], family: Family) =>
  ips.filter(one => isV6(one.address) === (family === 6));

export const iptablesMasquerade: RuleBackend<readonly AssignedAddress[]> = {
  async add(call, ips) {
    const chain = CHAINS.nameOf(call.name, call.containerId);
    const comment = CHAINS.commentOf(call);
    for (const family of FAMILIES) {
      const own = ofFamily(ips, family);
      if (own.length === 0) continue;
      const multicast = family === 6 ? 'ff00::/8' : '224.0.0.0/4';
      const rules = own.flatMap(({ address }) => [
        `-A ${chain} -d ${canonicalNetwork(address)} ${comment} -j ACCEPT`,
        `-A ${chain} ! -d ${multicast} ${comment} -j MASQUERADE`,
        `-A POSTROUTING -s ${hostPart(address)} ${comment} -j ${chain}`,
      ]);
      await applyLines(call.host.netns, family, 'nat', [`:${chain} - [0:0]`, ...rules]);
    }
  },

  remove: call => CHAINS.remove(call),

  async check(call, ips) {
    const missing: string[] = [];
    for (const family of FAMILIES) {
      const own = ofFamily(ips, family);
      if (own.length === 0) continue;
      const sources = await jumpSources(call, family);
      const isThere = ({ address }: AssignedAddress) => sources.includes(hostOf(address));
      missing.push(...own.filter(one => !isThere(one)).map(one => one.address));
    }
    return missing;
  },

  gc: (call, valid) => CHAINS.gc(call, valid),
};

const hostOf = (cidr: string) => canonicalAddress(hostPart(cidr));

/** The source addresses from which POSTROUTING jumps to the attachment's chain, in every variant of iptables. */
async function jumpSources(call: Call, family: Family): Promise<string[]> {
  const { netns } = call.host;
  const chain = CHAINS.nameOf(call.name, call.containerId);
  const sources: string[] = [];
  for (const variant of await variantsInUse(netns, family, 'nat', chain)) {
    const saved = await saveIptables(netns, family, 'nat', variant);
    const jumps = rulesOfChain(saved, 'POSTROUTING')
      .map(splitRule)
      .filter(words => words.at(-1) === chain);
    sources.push(...jumps.map(words => hostPart(words[words.indexOf('-s') + 1] ?? '')));
  }
  return sources;
}
