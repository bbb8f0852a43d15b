import { oneOf, text, withDefault } from '../../../base/schema.ts';
import { readIgnoringUnknown } from '../../config/ignore-unknown.ts';
import { hostPart, type Result } from '../../result/types.ts';
import { refuse } from '../../skel/errors.ts';
import type { Call } from '../../skel/plugin.ts';

type IngressPolicy = 'open' | 'same-bridge' | 'isolated';

const firewallFields = {
  backend: withDefault(oneOf(['', 'iptables', 'nftables', 'firewalld'], 'where rules are put'), ''),
  iptablesAdminChainName: withDefault(
    text('a chain name', "chain with the administrator's own rules"),
    'CNI-ADMIN',
  ),
  firewalldZone: text('a zone', 'zone of firewalld; not used'),
  ingressPolicy: withDefault(
    oneOf(['', 'open', 'same-bridge', 'isolated'], 'from where pods may be reached'),
    '',
  ),
};

interface FirewallConfig {
  backend: 'iptables' | 'nftables';
  adminChain: string;
  policy: IngressPolicy;
}

/** What a pod needs of the node's firewall. */
export interface FirewallRules extends FirewallConfig {
  /** Addresses of the pod, without length. */
  addresses: readonly string[];
  /** The bridge that the policy is about; undefined for the policy "open". */
  bridge: string | undefined;
}

/** Longest name of an iptables chain. */
const CHAIN_MAX = 28;

/** @throws CniError 7 */
export function readConfig(call: Call): FirewallConfig {
  const keys = readIgnoringUnknown(firewallFields, call.config, '');
  if (keys.backend === 'firewalld') {
    refuse('backend', 'firewalld is not supported', 'use "iptables", or "nftables" where nothing else drops');
  }
  const adminChain = keys.iptablesAdminChainName || 'CNI-ADMIN';
  if (!/^[A-Za-z0-9_-]+$/.test(adminChain) || adminChain.length > CHAIN_MAX) {
    refuse(
      'iptablesAdminChainName',
      `"${adminChain}" is not a chain name of at most ${CHAIN_MAX} characters`,
    );
  }
  // An accepting rule of nftables does not overrule a dropping one of iptables: opening has to be done where it is shut.
  return { backend: keys.backend || 'iptables', adminChain, policy: keys.ingressPolicy || 'open' };
}

/** Addresses of the pod without length. */
export function podAddresses(result: Result): string[] {
  return result.ips
    .filter(one => one.interface === undefined || result.interfaces[one.interface]?.sandbox)
    .map(one => hostPart(one.address));
}

/** Name of the bridge that a policy is about: the first interface of the node in the result. @throws CniError 7 */
export function bridgeOf(result: Result, isBridge: (name: string) => boolean): string {
  const found = result.interfaces.find(one => !one.sandbox && isBridge(one.name));
  return found?.name ?? refuse('ingressPolicy', 'needs a bridge in the result of the earlier plugins');
}
