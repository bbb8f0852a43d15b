import { deleteLink } from '../../net/rtnetlink/links.ts';
import { validAttachments } from '../config/network.ts';
import { releaseSteps } from '../delegate/addresses.ts';
import { runAll, withNode, withPodIfExists } from '../link/netlink-pair.ts';
import { callTag, networkTag, staleTags } from '../link/tag.ts';
import { deleteTagged } from '../link/veth.ts';
import type { ExistingRules } from '../rules/backend.ts';
import type { Call } from '../skel/plugin.ts';

/*
 * DEL and GC of the plugins that connect a pod by a veth pair. Rules are removed first: the next pod with the address must find
 * none of them.
 */

type Rules = readonly Pick<ExistingRules<unknown>, 'remove' | 'gc'>[];

/** Removes rules, both ends of the pair and the addresses of the attachment. */
export function removeVeth(call: Call, rules: Rules): Promise<void> {
  const tag = callTag(call);
  return runAll([
    ...rules.map(one => () => one.remove(call)),
    ...releaseSteps(call, 'DEL', [
      () => withPodIfExists(call, pod => deleteLink(pod, call.ifname)),
      () => withNode(call, node => deleteTagged(node, tag)),
    ]),
  ]);
}

/** Removes the same of all attachments of the network that are not valid. */
export function collectVeths(call: Call, rules: Rules): Promise<void> {
  const valid = validAttachments(call);
  return runAll([
    ...rules.map(one => () => one.gc(call, valid)),
    ...releaseSteps(call, 'GC', [
      () => withNode(call, node => deleteTagged(node, networkTag(call.name), staleTags(call.name, valid))),
    ]),
  ]);
}
