import { findLink } from '../../../net/rtnetlink/links.ts';
import { requirePrevResult, validAttachments } from '../../config/network.ts';
import { failCheck } from '../../link/checks.ts';
import { withNode } from '../../link/netlink-pair.ts';
import type { Result } from '../../result/types.ts';
import { everyBackend } from '../../rules/backend.ts';
import { CniError, CODE } from '../../skel/errors.ts';
import type { Call, Plugin } from '../../skel/plugin.ts';
import { Undo } from '../../skel/undo.ts';
import {
  type FirewallRules,
  firewallFields,
  guardedDevice,
  placeFields,
  podAddresses,
  readConfig,
} from './config.ts';
import { firewalldZone, isFirewalldRunning } from './firewalld.ts';
import { guardDevice, iptablesFirewall } from './iptables.ts';
import { nftFirewall } from './nft.ts';

/** In every back end: a pod may have been wired with another configuration, or by the reference plugin. */
const rules = everyBackend([iptablesFirewall, nftFirewall, firewalldZone]);

/** An accepting rule does not overrule a dropping one of another program: opening has to be done where it is shut. */
async function addRules(call: Call, spec: FirewallRules): Promise<void> {
  const backend = spec.backend || ((await isFirewalldRunning(call)) ? 'firewalld' : 'iptables');
  if (backend === 'nftables') return nftFirewall.add(call, spec);
  if (backend === 'iptables') return iptablesFirewall.add(call, spec);
  await firewalldZone.add(call, spec);
  // firewalld has no such policy: the reference plugin keeps bridges apart in iptables, too.
  await guardDevice(call, spec);
}

async function add(call: Call): Promise<Result> {
  const config = readConfig(call);
  const previous = requirePrevResult(call);
  const guarded =
    config.policy === 'open'
      ? undefined
      : await withNode(call, node =>
          guardedDevice(config.policy, previous, name => findLink(node, name)?.kind === 'bridge'),
        );
  await Undo.guard(call.host.log, async undo => {
    undo.push('remove the firewall rules', () => rules.remove(call));
    await addRules(call, { ...config, addresses: podAddresses(previous), guarded });
  });
  return previous;
}

async function del(call: Call): Promise<void> {
  await rules.remove(call);
}

async function check(call: Call): Promise<void> {
  const config = readConfig(call);
  const addresses = podAddresses(requirePrevResult(call));
  const missing = await rules.check(call, { ...config, addresses, guarded: undefined });
  if (missing.length > 0)
    failCheck(
      `firewall rules of ${missing.join(', ')} are missing in iptables, in nftables and in firewalld`,
    );
}

async function gc(call: Call): Promise<void> {
  await rules.gc(call, validAttachments(call));
}

async function status(call: Call): Promise<void> {
  const { backend } = readConfig(call);
  if (backend !== 'firewalld' || (await isFirewalldRunning(call))) return;
  throw new CniError(
    CODE.PLUGIN_UNAVAILABLE,
    'firewall: firewalld does not run',
    'or its D-Bus is not visible here',
  );
}

/** Lets the traffic of pods pass the node's firewall, and keeps networks apart. */
export const firewall: Plugin = {
  name: 'firewall',
  docs: {
    keys: { ...firewallFields, ...placeFields },
    differences: [
      'The backend nftables exists only here.',
      'What firewalld was told is recorded (dataDir), so that DEL needs no addresses and GC finds what is left. CHECK fails for an address that firewalld lacks.',
      'Rules that an ingressPolicy makes for the interface of a single pod (ptp) are removed with the pod. A result without an interface on the node is refused (code 7).',
    ],
  },

  add,
  del,
  check,
  gc,
  status,
};
