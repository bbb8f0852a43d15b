import { resolve } from 'node:path';
import { oneOf, text, withDefault } from '../../../base/schema.ts';
import { readIgnoringUnknown } from '../../config/ignore-unknown.ts';
import { hostPart, type Result } from '../../result/types.ts';
import { CniError, CODE, refuse } from '../../skel/errors.ts';
import type { Call } from '../../skel/plugin.ts';

type IngressPolicy = 'open' | 'same-bridge' | 'isolated';

const DEFAULT_DATA_DIR = '/run/ripstop/cni-firewalld';

/** Where rules of firewalld are. */
export const placeFields = {
  firewalldZone: text('a zone', 'zone of firewalld that has the addresses of pods, by default trusted'),
  dataDir: text('a path', `directory of what firewalld was told, by default ${DEFAULT_DATA_DIR}`),
};

export const firewallFields = {
  backend: withDefault(
    oneOf(
      ['', 'iptables', 'nftables', 'firewalld'],
      'where rules are put; by default firewalld where it runs, else iptables',
    ),
    '',
  ),
  iptablesAdminChainName: withDefault(
    text('a chain name', "chain with the administrator's own rules"),
    'CNI-ADMIN',
  ),
  ingressPolicy: withDefault(
    oneOf(['', 'open', 'same-bridge', 'isolated'], 'from where pods may be reached'),
    '',
  ),
};

interface FirewallConfig {
  /** '': firewalld where it runs, otherwise iptables. */
  backend: '' | 'iptables' | 'nftables' | 'firewalld';
  adminChain: string;
  policy: IngressPolicy;
  /** Zone of firewalld. */
  zone: string;
  /** Directory of the records of what is in firewalld. */
  dataDir: string;
}

/** What a pod needs of the node's firewall. */
export interface FirewallRules extends FirewallConfig {
  /** Addresses of the pod, without length. */
  addresses: readonly string[];
  /** What the policy is about; undefined for the policy "open". */
  guarded: GuardedDevice | undefined;
}

/** The node's device of a pod that an ingress policy guards. */
export interface GuardedDevice {
  name: string;
  /** Several pods have it, so its rules stay when one of them ends. */
  isShared: boolean;
}

/** Longest name of an iptables chain. */
const CHAIN_MAX = 28;

/** @throws CniError 7 */
export function readConfig(call: Call): FirewallConfig {
  const keys = readIgnoringUnknown(firewallFields, call.config, '');
  const adminChain = keys.iptablesAdminChainName || 'CNI-ADMIN';
  if (!/^[A-Za-z0-9_-]+$/.test(adminChain) || adminChain.length > CHAIN_MAX) {
    refuse(
      'iptablesAdminChainName',
      `"${adminChain}" is not a chain name of at most ${CHAIN_MAX} characters`,
    );
  }
  return { backend: keys.backend, adminChain, policy: keys.ingressPolicy || 'open', ...readPlace(call) };
}

/** Where firewalld has the pod's addresses, which is all that DEL and GC need. @throws RipstopError ECONFIG */
export function readPlace(call: Call): Pick<FirewallConfig, 'zone' | 'dataDir'> {
  const { firewalldZone, dataDir } = readIgnoringUnknown(placeFields, call.config, '');
  return { zone: firewalldZone || 'trusted', dataDir: resolve(call.cwd, dataDir || DEFAULT_DATA_DIR) };
}

/** Every address of the result without its length: as in the reference plugin its interface may be outside of a sandbox. */
export function podAddresses(result: Result): string[] {
  return result.ips.map(one => hostPart(one.address));
}

/**
 * The bridge of the result, or without one the first of its interfaces on the node, as behind ptp.
 * @throws CniError 7 without an interface on the node
 */
export function guardedDevice(
  policy: IngressPolicy,
  { interfaces }: Result,
  isBridge: (name: string) => boolean,
): GuardedDevice {
  const names = interfaces.filter(one => !one.sandbox).map(one => one.name);
  const bridge = names.find(isBridge);
  const name = bridge ?? names[0];
  if (name) return { name, isShared: bridge !== undefined };
  throw new CniError(
    CODE.INVALID_CONFIG,
    `interface needs to be set for ingress policy "${policy}", make sure to chain "firewall" plugin with "bridge"`,
    'the result of the earlier plugins has no interface on the node',
  );
}
