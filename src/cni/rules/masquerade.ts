import { failCheck } from '../link/checks.ts';
import type { AssignedAddress } from '../result/types.ts';
import type { Call } from '../skel/plugin.ts';
import type { Undo } from '../skel/undo.ts';
import { type BackendName, type ExistingRules, everyBackend } from './backend.ts';
import { iptablesMasquerade } from './masquerade-iptables.ts';
import { displaceNft, nftMasquerade } from './masquerade-nft.ts';
import {
  countReferenceRules,
  REFERENCE_MASQUERADE,
  referenceAttachment,
  referenceNetwork,
  removeReferenceRules,
} from './reference-nft.ts';

const attachmentOf = (call: Call) => referenceAttachment(call.name, call.containerId, call.ifname);

/** What the reference plugins masquerade in nftables: one rule per address. */
const referenceMasquerade: ExistingRules<readonly AssignedAddress[]> = {
  async remove(call) {
    const theirs = attachmentOf(call);
    await removeReferenceRules(call.host.netns, REFERENCE_MASQUERADE, one => one.startsWith(theirs));
  },

  async check(call, ips) {
    const theirs = attachmentOf(call);
    const isOfAttachment = (comment: string) => comment.startsWith(theirs);
    const count = await countReferenceRules(call.host.netns, REFERENCE_MASQUERADE, isOfAttachment);
    return count >= ips.length ? [] : ips.map(one => one.address);
  },

  async gc(call, valid) {
    const network = referenceNetwork(call.name);
    const kept = valid.map(one => referenceAttachment(call.name, one.containerID, one.ifname));
    const isStale = (comment: string) =>
      comment.startsWith(network) && !kept.some(one => comment.startsWith(one));
    await removeReferenceRules(call.host.netns, REFERENCE_MASQUERADE, isStale);
  },
};

/** Masquerading of a pod's addresses towards everything outside their subnets, wherever it is. */
export const masquerading = everyBackend([nftMasquerade, iptablesMasquerade, referenceMasquerade]);

/** Masquerades the pod's addresses in one back end. */
export async function addMasquerade(
  call: Call,
  backend: BackendName,
  ips: readonly AssignedAddress[],
  undo: Undo,
): Promise<void> {
  await displaceNft(call, ips);
  // Pushed first: iptables changes one family after the other, and removing nothing is harmless.
  undo.push('remove the masquerading', () => masquerading.remove(call));
  await (backend === 'iptables' ? iptablesMasquerade : nftMasquerade).add(call, ips);
}

/** @throws CniError 999 when addresses are masqueraded in no place */
export async function checkMasquerade(call: Call, ips: readonly AssignedAddress[]): Promise<void> {
  const missing = await masquerading.check(call, ips);
  if (missing.length > 0)
    failCheck(`masquerading of ${missing.join(', ')} is missing in nftables and in iptables`);
}
