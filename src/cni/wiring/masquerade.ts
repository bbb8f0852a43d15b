import type { Attachment } from '../config/network.ts';
import type { AssignedAddress } from '../result/types.ts';
import type { Call } from '../skel/plugin.ts';
import type { Undo } from '../skel/undo.ts';
import { changed } from './expectations.ts';
import {
  collectIptables,
  isMasqueradedIptables,
  masqueradeIptables,
  unmasqueradeIptables,
} from './masquerade-iptables.ts';
import { countMasqueradedNft, masqueradeNft, unmasqueradeNft } from './masquerade-nft.ts';
import { callTag, staleTags } from './tag.ts';

export const BACKENDS = ['nftables', 'iptables'] as const;
export type Backend = (typeof BACKENDS)[number];

const ownerOf = (call: Call) => ({ network: call.name, containerId: call.containerId });

/** Masquerades the pod's addresses towards everything outside their subnets. */
export async function masquerade(
  call: Call,
  backend: Backend,
  ips: readonly AssignedAddress[],
  undo: Undo,
): Promise<void> {
  // Pushed first: iptables changes one family after the other, and taking away nothing is harmless.
  undo.push('take the masquerading away', () => unmasquerade(call, backend));
  if (backend === 'iptables') await masqueradeIptables(call.host.netns, ownerOf(call), ips);
  else await masqueradeNft(call.host.netns, callTag(call), ips);
}

/** Takes the masquerading of the attachment away, by its name alone. */
export async function unmasquerade(call: Call, backend: Backend): Promise<void> {
  if (backend === 'iptables') return unmasqueradeIptables(call.host.netns, ownerOf(call));
  const tag = callTag(call);
  await unmasqueradeNft(call.host.netns, one => one === tag);
}

/** @throws CniError 999 when a rule is missing */
export async function expectMasquerade(
  call: Call,
  backend: Backend,
  ips: readonly AssignedAddress[],
): Promise<void> {
  const there =
    backend === 'iptables'
      ? await isMasqueradedIptables(call.host.netns, ownerOf(call), ips)
      : (await countMasqueradedNft(call.host.netns, callTag(call))) >= ips.length;
  if (!there) changed(`masquerading of ${ips.map(one => one.address).join(', ')} is missing in ${backend}`);
}

/** Takes away what no living attachment of the network owns. */
export async function collectMasquerade(
  call: Call,
  backend: Backend,
  valid: readonly Attachment[],
): Promise<void> {
  if (backend === 'iptables') return collectIptables(call.host.netns, call.name, valid);
  await unmasqueradeNft(call.host.netns, staleTags(call.name, valid));
}
