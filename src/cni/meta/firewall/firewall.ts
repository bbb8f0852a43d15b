import { findLink } from '../../../net/links.ts';
import { readPrevResult, requirePrevResult, validAttachments } from '../../config/network.ts';
import type { Result } from '../../result/types.ts';
import { type Call, commands, type Plugin } from '../../skel/plugin.ts';
import { Undo } from '../../skel/undo.ts';
import { ALL_VERSIONS } from '../../skel/version.ts';
import { changed } from '../../wiring/expectations.ts';
import { inNode } from '../../wiring/kernel.ts';
import { callTag, staleTags } from '../../wiring/tag.ts';
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
      : await inNode(call, node => bridgeOf(previous, name => findLink(node, name)?.kind === 'bridge'));
  await Undo.guard(call.host.log, async undo => {
    undo.push('shut the firewall', () => close(call, config.backend));
    const open = config.backend === 'iptables' ? openIptables : openNft;
    await open(call, config, addresses, bridge);
  });
  return previous;
}

async function close(call: Call, backend: 'iptables' | 'nftables'): Promise<void> {
  const previous = readPrevResult(call);
  if (backend === 'iptables') await closeIptables(call, previous ? podAddresses(previous) : []);
  else await closeNft(call, tag => tag === callTag(call));
}

async function check(call: Call): Promise<void> {
  const { backend } = readConfig(call);
  const addresses = podAddresses(requirePrevResult(call));
  const missing = await (backend === 'iptables' ? missingIptables : missingNft)(call, addresses);
  if (missing.length > 0) changed(`firewall rules of ${missing.join(', ')} are missing in ${backend}`);
}

async function gc(call: Call): Promise<void> {
  const { backend } = readConfig(call);
  const valid = validAttachments(call);
  if (backend === 'iptables') await collectIptables(call, valid);
  else await closeNft(call, staleTags(call.name, valid));
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
    del: async call => close(call, readConfig(call).backend),
    check,
    gc,
    status: async call => void readConfig(call),
  }),
};
