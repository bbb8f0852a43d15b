import { failCheck } from '../link/checks.ts';
import type { AssignedAddress } from '../result/types.ts';
import type { Call } from '../skel/plugin.ts';
import type { Undo } from '../skel/undo.ts';
import { type BackendName, everyBackend } from './backend.ts';
import { iptablesMasquerade } from './masquerade-iptables.ts';
import { nftMasquerade } from './masquerade-nft.ts';

/** Masquerading of a pod's addresses towards everything outside their subnets, wherever it is. */
export const masquerading = everyBackend([nftMasquerade, iptablesMasquerade]);

/** Masquerades the pod's addresses in one back end. */
export async function addMasquerade(
  call: Call,
  backend: BackendName,
  ips: readonly AssignedAddress[],
  undo: Undo,
): Promise<void> {
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
