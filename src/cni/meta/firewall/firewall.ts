import { hasNftTable } from '../../../net/nft/presence.ts';
import { findLink } from '../../../net/rtnetlink/links.ts';
import { readPrevResult, requirePrevResult, validAttachments } from '../../config/network.ts';
import { failCheck } from '../../link/checks.ts';
import { runAll, withNode } from '../../link/netlink-pair.ts';
import { callTag, staleTags } from '../../link/tag.ts';
import type { Result } from '../../result/types.ts';
import { TABLE } from '../../rules/nft-elements.ts';
import { type Call, commands, type Plugin } from '../../skel/plugin.ts';
import { Undo } from '../../skel/undo.ts';
import { ALL_VERSIONS } from '../../skel/version.ts';
import { bridgeOf, podAddresses, readConfig } from './config.ts';
import { closeIptables, collectIptables, missingIptables, openIptables } from './iptables.ts';
import { closeNft, missingNft, openNft } from './nft.ts';

async function add(call: Call): Promise<Result> {
  const config = readConfig(call);
  const previous = requirePrevResult(call);
  const addresses = podAddresses(previous);
  const bridge =
    config.policy === 'open'
      ? undefined
      : await withNode(call, node => bridgeOf(previous, name => findLink(node, name)?.kind === 'bridge'));
  await Undo.guard(call.host.log, async undo => {
    undo.push('shut the firewall', () => close(call));
    const open = config.backend === 'iptables' ? openIptables : openNft;
    await open(call, config, addresses, bridge);
  });
  return previous;
}

/** In both back ends: a pod may have been wired with another configuration, or by the reference plugin. */
async function close(call: Call): Promise<void> {
  const previous = readPrevResult(call);
  await runAll([
    () => closeIptables(call, previous ? podAddresses(previous) : []),
    () => hasOwnTable(call) && closeNft(call, tag => tag === callTag(call)),
  ]);
}

const hasOwnTable = (call: Call) => hasNftTable(call.host.netns, 'inet', TABLE);

async function check(call: Call): Promise<void> {
  readConfig(call);
  const addresses = podAddresses(requirePrevResult(call));
  const inIptables = await missingIptables(call, addresses);
  if (inIptables.length === 0) return;
  const missing = hasOwnTable(call) ? await missingNft(call, inIptables) : inIptables;
  if (missing.length > 0)
    failCheck(`firewall rules of ${missing.join(', ')} are missing in iptables and in nftables`);
}

async function gc(call: Call): Promise<void> {
  readConfig(call);
  const valid = validAttachments(call);
  await runAll([
    () => collectIptables(call, valid),
    () => hasOwnTable(call) && closeNft(call, staleTags(call.name, valid)),
  ]);
}

/** Lets the traffic of pods pass the node's firewall, and keeps networks apart. */
export const firewall: Plugin = {
  name: 'firewall',
  about:
    "CNI firewall plugin of Ripstop: lets the traffic of pods pass the node's firewall, keeps networks apart",
  versions: ALL_VERSIONS,
  netns: 'entered',
  commands: commands({
    add,
    del: async call => {
      readConfig(call);
      await close(call);
    },
    check,
    gc,
    status: async call => void readConfig(call),
  }),
};
