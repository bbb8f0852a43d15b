import { hasNftTable } from '../../net/nft/presence.ts';
import type { Attachment } from '../config/network.ts';
import { failCheck } from '../link/checks.ts';
import { runAll } from '../link/netlink-pair.ts';
import { callTag, staleTags } from '../link/tag.ts';
import type { AssignedAddress } from '../result/types.ts';
import type { Call } from '../skel/plugin.ts';
import type { Undo } from '../skel/undo.ts';
import {
  collectIptables,
  isMasqueradedIptables,
  masqueradeIptables,
  unmasqueradeIptables,
} from './masquerade-iptables.ts';
import { countMasqueradedNft, displaceNft, masqueradeNft, unmasqueradeNft } from './masquerade-nft.ts';
import { TABLE } from './nft-elements.ts';
import {
  countReferenceRules,
  REFERENCE_MASQUERADE,
  referenceAttachment,
  referenceNetwork,
  removeReferenceRules,
} from './reference-nft.ts';

/*
 * A pod may have been wired with another configuration, or by the reference plugins, whose default is iptables. So the
 * configured back end decides only where ADD puts its rules: DEL, GC and CHECK look at ours in nftables, at both variants
 * of iptables, and at the reference's rules in nftables. What is not there costs a question to the kernel.
 */

export const BACKENDS = ['nftables', 'iptables'] as const;
export type Backend = (typeof BACKENDS)[number];

const ownerOf = (call: Call) => ({ network: call.name, containerId: call.containerId });
const hasOwnTable = (call: Call) => hasNftTable(call.host.netns, 'inet', TABLE);

/**
 * Masquerades the pod's addresses towards everything outside their subnets. An element that another attachment has left
 * for one of these addresses goes first: its comment would name the wrong owner.
 */
export async function masquerade(
  call: Call,
  backend: Backend,
  ips: readonly AssignedAddress[],
  undo: Undo,
): Promise<void> {
  const { netns } = call.host;
  if (hasOwnTable(call)) await displaceNft(netns, callTag(call), ips);
  // Pushed first: iptables changes one family after the other, and taking away nothing is harmless.
  undo.push('take the masquerading away', () => unmasquerade(call));
  if (backend === 'iptables') await masqueradeIptables(netns, ownerOf(call), ips);
  else await masqueradeNft(netns, callTag(call), ips);
}

/** Takes the masquerading of the attachment away, by its name alone and whatever the configuration is. */
export async function unmasquerade(call: Call): Promise<void> {
  const { netns } = call.host;
  const tag = callTag(call);
  const theirs = referenceAttachment(call.name, call.containerId, call.ifname);
  await runAll([
    () => hasOwnTable(call) && unmasqueradeNft(netns, one => one === tag),
    () => unmasqueradeIptables(netns, ownerOf(call)),
    () => removeReferenceRules(netns, REFERENCE_MASQUERADE, comment => comment.startsWith(theirs)),
  ]);
}

/** @throws CniError 999 when no back end masquerades all of the addresses */
export async function expectMasquerade(call: Call, ips: readonly AssignedAddress[]): Promise<void> {
  const { netns } = call.host;
  const theirs = referenceAttachment(call.name, call.containerId, call.ifname);
  const places = [
    async () => hasOwnTable(call) && (await countMasqueradedNft(netns, callTag(call), ips)) >= ips.length,
    () => isMasqueradedIptables(netns, ownerOf(call), ips),
    async () =>
      (await countReferenceRules(netns, REFERENCE_MASQUERADE, one => one.startsWith(theirs))) >= ips.length,
  ];
  for (const isThere of places) if (await isThere()) return;
  failCheck(
    `masquerading of ${ips.map(one => one.address).join(', ')} is missing in nftables and in iptables`,
  );
}

/** Takes away what no living attachment of the network owns. */
export async function collectMasquerade(call: Call, valid: readonly Attachment[]): Promise<void> {
  const { netns } = call.host;
  const network = referenceNetwork(call.name);
  const living = valid.map(one => referenceAttachment(call.name, one.containerID, one.ifname));
  const isStale = (comment: string) =>
    comment.startsWith(network) && !living.some(one => comment.startsWith(one));
  await runAll([
    () => hasOwnTable(call) && unmasqueradeNft(netns, staleTags(call.name, valid)),
    () => collectIptables(netns, call.name, valid),
    () => removeReferenceRules(netns, REFERENCE_MASQUERADE, isStale),
  ]);
}
