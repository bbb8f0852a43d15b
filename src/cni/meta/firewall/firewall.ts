import { findLink } from '../../../net/rtnetlink/links.ts';
import { requirePrevResult, validAttachments } from '../../config/network.ts';
import { failCheck } from '../../link/checks.ts';
import { withNode } from '../../link/netlink-pair.ts';
import type { Result } from '../../result/types.ts';
import { everyBackend } from '../../rules/backend.ts';
import type { Call, Plugin } from '../../skel/plugin.ts';
import { Undo } from '../../skel/undo.ts';
import { bridgeOf, podAddresses, readConfig } from './config.ts';
import { iptablesFirewall } from './iptables.ts';
import { nftFirewall } from './nft.ts';

/** In every back end: a pod may have been wired with another configuration, or by the reference plugin. */
const rules = everyBackend([iptablesFirewall, nftFirewall]);

async function add(call: Call): Promise<Result> {
  const config = readConfig(call);
  const previous = requirePrevResult(call);
  const bridge =
    config.policy === 'open'
      ? undefined
      : await withNode(call, node => bridgeOf(previous, name => findLink(node, name)?.kind === 'bridge'));
  await Undo.guard(call.host.log, async undo => {
    undo.push('remove the firewall rules', () => rules.remove(call));
    const backend = config.backend === 'iptables' ? iptablesFirewall : nftFirewall;
    await backend.add(call, { ...config, addresses: podAddresses(previous), bridge });
  });
  return previous;
}

async function del(call: Call): Promise<void> {
  await rules.remove(call);
}

async function check(call: Call): Promise<void> {
  const config = readConfig(call);
  const addresses = podAddresses(requirePrevResult(call));
  const missing = await rules.check(call, { ...config, addresses, bridge: undefined });
  if (missing.length > 0)
    failCheck(`firewall rules of ${missing.join(', ')} are missing in iptables and in nftables`);
}

async function gc(call: Call): Promise<void> {
  await rules.gc(call, validAttachments(call));
}

/** Lets the traffic of pods pass the node's firewall, and keeps networks apart. */
export const firewall: Plugin = {
  name: 'firewall',

  add,
  del,
  check,
  gc,
  status: async call => void readConfig(call),
};
