import { deleteLink, getLink } from '../../../net/links.ts';
import { requirePrevResult, validAttachments } from '../../config/network.ts';
import { forwardToIpam, releaseSteps } from '../../delegate/addresses.ts';
import { type Call, commands, type Plugin } from '../../skel/plugin.ts';
import { ALL_VERSIONS } from '../../skel/version.ts';
import {
  changed,
  expectAddresses,
  expectLink,
  expectRoutes,
  podInterface,
} from '../../wiring/expectations.ts';
import { attemptAll, inBoth, inNode, inPodIfThere } from '../../wiring/kernel.ts';
import { collectMasquerade, expectMasquerade, unmasquerade } from '../../wiring/masquerade.ts';
import { callTag, staleTags } from '../../wiring/tag.ts';
import { deleteTagged } from '../../wiring/veth.ts';
import { add } from './add.ts';
import { readConfig } from './config.ts';
import { isGuarded, unguardPorts } from './spoof-guard.ts';

/** Rules first, by their tag: whoever gets the address next must find none of ours. */
async function del(call: Call): Promise<void> {
  const config = readConfig(call);
  const tag = callTag(call);
  await attemptAll([
    () => config.ipMasq && unmasquerade(call, config.backend),
    () => config.macspoofchk && unguardPorts(call.host.netns, one => one === tag),
    ...releaseSteps(call, 'DEL', [
      () => inPodIfThere(call, pod => deleteLink(pod, call.ifname)),
      () => inNode(call, node => deleteTagged(node, one => one === tag)),
    ]),
  ]);
}

async function check(call: Call): Promise<void> {
  const config = readConfig(call);
  await forwardToIpam(call, 'CHECK');
  const previous = requirePrevResult(call);
  const { entry, index } = podInterface(call, previous);
  await inBoth(call, async ({ node, pod }) => {
    const bridge = getLink(node, config.bridge);
    if (bridge.kind !== 'bridge') changed(`${config.bridge} is not a bridge any more`);
    if (!bridge.up) changed(`bridge ${config.bridge} is down`);
    const link = expectLink(pod, entry, 'veth');
    const port = getLink(node, link.parent ?? 0);
    if (port.master !== bridge.index)
      changed(`${port.name}, the other end of ${entry.name}, is not on ${config.bridge}`);
    for (const one of previous.interfaces.filter(told => !told.sandbox && told.name === port.name)) {
      expectLink(node, one, 'veth');
    }
    if (!link.up && !config.disableContainerInterface) changed(`Interface ${entry.name} is down`);
    if (!config.ipam) return;
    const own = {
      ...previous,
      ips: previous.ips.filter(one => one.interface === undefined || one.interface === index),
    };
    expectAddresses(pod, link, index, own);
    expectRoutes(pod, own);
    if (config.ipMasq) await expectMasquerade(call, config.backend, own.ips);
  });
  if (config.macspoofchk && !(await isGuarded(call.host.netns, callTag(call)))) {
    changed(`the spoof guard of ${entry.name} is missing`);
  }
}

async function gc(call: Call): Promise<void> {
  const config = readConfig(call);
  const valid = validAttachments(call);
  const stale = staleTags(call.name, valid);
  await attemptAll([
    () => config.ipMasq && collectMasquerade(call, config.backend, valid),
    () => config.macspoofchk && unguardPorts(call.host.netns, stale),
    ...releaseSteps(call, 'GC', [() => inNode(call, node => deleteTagged(node, stale))]),
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
