import { createHash } from 'node:crypto';
import { applyNft, listNft, type NftObject } from '../../net/nft/nft.ts';
import { hasNftChain, type NftTableFamily } from '../../net/nft/presence.ts';
import type { Call } from '../skel/plugin.ts';

/*
 * What the reference plugins keep in nftables (since their 1.6; the spoof guard since 1.0): one rule per pod with a comment
 * that names the attachment. The rules are only removed and counted here; our own rules are elsewhere.
 */

interface ReferenceChain {
  family: NftTableFamily;
  table: string;
  chain: string;
}

/** Masquerading: pkg/ip/ipmasq_nftables_linux.go. */
export const REFERENCE_MASQUERADE: readonly ReferenceChain[] = [
  { family: 'inet', table: 'cni_plugins_masquerade', chain: 'masq_checks' },
];

/** Host ports: plugins/meta/portmap/portmap_nftables.go. The comment is the container's id alone. */
export const REFERENCE_HOST_PORTS: readonly ReferenceChain[] = (['ip', 'ip6'] as const).flatMap(family =>
  ['hostports', 'hostip_hostports', 'masquerading'].map(chain => ({ family, table: 'cni_hostport', chain })),
);

const hash = (text: string) => createHash('sha512').update(text).digest('hex').slice(0, 16);

/** Beginning of the comments of a network's masquerading rules. */
export const referenceNetwork = (network: string) => `${hash(network)}-`;

/** Beginning of the comments of an attachment's masquerading rules. */
export function referenceAttachment(network: string, containerId: string, ifname: string): string {
  return `${referenceNetwork(network)}${hash(`${ifname}:${containerId}`)}`;
}

interface Rule {
  handle: number;
  comment: string;
}

/** Rules with an accepted comment; none where the chain is absent. */
async function rulesOf(
  netns: string,
  { family, table, chain }: ReferenceChain,
  wanted: (comment: string) => boolean,
): Promise<Rule[]> {
  if (!hasNftChain(netns, family, table, chain)) return [];
  const objects = await listNft(netns, ['chain', family, table, chain]);
  return objects.flatMap(object => {
    const { handle, comment } = (object.rule ?? {}) as Partial<Rule>;
    return handle !== undefined && comment !== undefined && wanted(comment) ? [{ handle, comment }] : [];
  });
}

/** Removes the rules whose comment `wanted` accepts. */
export async function removeReferenceRules(
  netns: string,
  chains: readonly ReferenceChain[],
  wanted: (comment: string) => boolean,
): Promise<void> {
  for (const one of chains) {
    const { family, table, chain } = one;
    const rules = await rulesOf(netns, one, wanted);
    await applyNft(
      netns,
      rules.map(({ handle }): NftObject => ({ delete: { rule: { family, table, chain, handle } } })),
    );
  }
}

/** How many rules have an accepted comment. */
export async function countReferenceRules(
  netns: string,
  chains: readonly ReferenceChain[],
  wanted: (comment: string) => boolean,
): Promise<number> {
  let count = 0;
  for (const one of chains) count += (await rulesOf(netns, one, wanted)).length;
  return count;
}

/** The reference's guard against foreign MAC addresses: pkg/link/spoofcheck.go. */
const SPOOF_GUARD: ReferenceChain = { family: 'bridge', table: 'nat', chain: 'PREROUTING' };

export async function hasReferenceGuard({ host, containerId, ifname }: Call): Promise<boolean> {
  const comment = `macspoofchk-${containerId}-${ifname}`;
  return (await countReferenceRules(host.netns, [SPOOF_GUARD], one => one === comment)) > 0;
}

/** Removes the reference's spoof guard of an attachment: the rule that leads to it, then its two chains. */
export async function removeReferenceGuard({ host, containerId, ifname }: Call): Promise<void> {
  const { netns } = host;
  const id = `${containerId}-${ifname}`;
  const { family, table } = SPOOF_GUARD;
  await removeReferenceRules(netns, [SPOOF_GUARD], comment => comment === `macspoofchk-${id}`);
  const name = `cni-br-iface-${id}`;
  const chains = [name, `${name}-mac`].filter(chain => hasNftChain(netns, family, table, chain));
  if (chains.length === 0) return;
  const act = (verb: 'flush' | 'delete') =>
    chains.map((chain): NftObject => ({ [verb]: { chain: { family, table, name: chain } } }));
  await applyNft(netns, [...act('flush'), ...act('delete')]);
}
