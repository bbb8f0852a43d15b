import { getLink } from '../../../net/rtnetlink/links.ts';
import { dnsDocs, ipamDocs, macDocs } from '../../config/fields.ts';
import { requirePrevResult } from '../../config/network.ts';
import { forwardToIpam } from '../../delegate/addresses.ts';
import { checkAddresses, checkLink, checkRoutes, failCheck, podInterface } from '../../link/checks.ts';
import { withNodeAndPod } from '../../link/netlink-pair.ts';
import { checkMasquerade, masquerading } from '../../rules/masquerade.ts';
import type { Call, Plugin } from '../../skel/plugin.ts';
import { collectVeths, removeVeth } from '../remove-veth.ts';
import { add } from './add.ts';
import { bridgeFields, readConfig } from './config.ts';
import { spoofGuard } from './spoof-guard.ts';

const rules = [masquerading, spoofGuard];

async function del(call: Call): Promise<void> {
  await removeVeth(call, rules);
}

async function check(call: Call): Promise<void> {
  const config = readConfig(call);
  await forwardToIpam(call, 'CHECK');
  const previous = requirePrevResult(call);
  const { entry, own } = podInterface(call, previous);
  await withNodeAndPod(call, async ({ node, pod }) => {
    const bridge = getLink(node, config.bridge);
    if (bridge.kind !== 'bridge') failCheck(`${config.bridge} is not a bridge any more`);
    if (!bridge.up) failCheck(`bridge ${config.bridge} is down`);
    const link = checkLink(pod, entry, 'veth');
    const port = getLink(node, link.parent ?? 0);
    if (port.master !== bridge.index)
      failCheck(`${port.name}, the other end of ${entry.name}, is not on ${config.bridge}`);
    for (const one of previous.interfaces.filter(told => !told.sandbox && told.name === port.name)) {
      checkLink(node, one, 'veth');
    }
    if (!link.up && !config.disableContainerInterface) failCheck(`Interface ${entry.name} is down`);
    if (!config.ipam) return;
    checkAddresses(pod, link, own);
    checkRoutes(pod, own);
    if (config.ipMasq) await checkMasquerade(call, own.ips);
  });
  if (!config.macspoofchk) return;
  const missing = await spoofGuard.check(call, { name: entry.name, mac: entry.mac });
  if (missing.length > 0) failCheck(`the spoof guard of ${entry.name} is missing`);
}

async function gc(call: Call): Promise<void> {
  await collectVeths(call, rules);
}

async function status(call: Call): Promise<void> {
  readConfig(call);
  await forwardToIpam(call, 'STATUS');
}

/** Pods on a bridge of the node. */
export const bridge: Plugin = {
  name: 'bridge',
  docs: {
    keys: { ...bridgeFields, ...ipamDocs, ...dnsDocs, ...macDocs },
    differences: [
      'Masquerading rules are in nftables unless ipMasqBackend says otherwise.',
      'A gateway outside of the subnet of its address is refused (code 7) with both of them.',
      "The bridge's own IPv6 addresses need no duplicate address detection.",
    ],
  },
  add,
  del,
  check,
  gc,
  status,
};
