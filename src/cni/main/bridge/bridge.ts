import { deleteLink, getLink } from '../../../net/rtnetlink/links.ts';
import { requirePrevResult, validAttachments } from '../../config/network.ts';
import { forwardToIpam, releaseSteps } from '../../delegate/addresses.ts';
import { checkAddresses, checkLink, checkRoutes, failCheck, podInterface } from '../../link/checks.ts';
import { runAll, withNode, withNodeAndPod, withPodIfExists } from '../../link/netlink-pair.ts';
import { callTag, staleTags } from '../../link/tag.ts';
import { deleteTagged } from '../../link/veth.ts';
import { collectMasquerade, expectMasquerade, unmasquerade } from '../../rules/masquerade.ts';
import { hasReferenceGuard, removeReferenceGuard } from '../../rules/reference-nft.ts';
import { type Call, commands, type Plugin } from '../../skel/plugin.ts';
import { ALL_VERSIONS } from '../../skel/version.ts';
import { add } from './add.ts';
import { readConfig } from './config.ts';
import { isGuarded, unguardPorts } from './spoof-guard.ts';

/** Rules first, by their tag: whoever gets the address next must find none of ours. */
async function del(call: Call): Promise<void> {
  readConfig(call);
  const tag = callTag(call);
  await runAll([
    () => unmasquerade(call),
    () => unguardPorts(call.host.netns, one => one === tag),
    () => removeReferenceGuard(call.host.netns, call.containerId, call.ifname),
    ...releaseSteps(call, 'DEL', [
      () => withPodIfExists(call, pod => deleteLink(pod, call.ifname)),
      () => withNode(call, node => deleteTagged(node, one => one === tag)),
    ]),
  ]);
}

async function check(call: Call): Promise<void> {
  const config = readConfig(call);
  await forwardToIpam(call, 'CHECK');
  const previous = requirePrevResult(call);
  const { entry, index } = podInterface(call, previous);
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
    const own = {
      ...previous,
      ips: previous.ips.filter(one => one.interface === undefined || one.interface === index),
    };
    checkAddresses(pod, link, index, own);
    checkRoutes(pod, own);
    if (config.ipMasq) await expectMasquerade(call, own.ips);
  });
  if (config.macspoofchk && !(await isPortGuarded(call)))
    failCheck(`the spoof guard of ${entry.name} is missing`);
}

/** By our guard, or by that of the reference plugin. */
async function isPortGuarded(call: Call): Promise<boolean> {
  const { netns } = call.host;
  if (await isGuarded(netns, callTag(call))) return true;
  return hasReferenceGuard(netns, call.containerId, call.ifname);
}

async function gc(call: Call): Promise<void> {
  readConfig(call);
  const valid = validAttachments(call);
  const stale = staleTags(call.name, valid);
  await runAll([
    () => collectMasquerade(call, valid),
    () => unguardPorts(call.host.netns, stale),
    ...releaseSteps(call, 'GC', [() => withNode(call, node => deleteTagged(node, stale))]),
  ]);
}

async function status(call: Call): Promise<void> {
  readConfig(call);
  await forwardToIpam(call, 'STATUS');
}

/** Pods on a bridge of the node. */
export const bridge: Plugin = {
  name: 'bridge',
  about: 'CNI bridge plugin of Ripstop: pods on a bridge of the node',
  versions: ALL_VERSIONS,
  netns: 'entered',
  commands: commands({ add, del, check, gc, status }),
};
