import { deleteLink, findLink, type Link } from '../../net/rtnetlink/links.ts';
import type { NetlinkSocket } from '../../net/rtnetlink/socket.ts';
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
  const removeLinks = () =>
    withNode(call, node => {
      let isRemoved = false;
      return runAll([
        () =>
          withPodIfExists(call, pod => {
            const isTagged = hasTaggedEnd(node, findLink(pod, call.ifname), tag);
            isRemoved = deleteLink(pod, call.ifname) && isTagged;
          }),
        // Only where the pair was not found from the pod: the list has a link for each pod of the node.
        () => isRemoved || deleteTagged(node, tag),
      ]);
    });
  return runAll([...rules.map(one => () => one.remove(call)), ...releaseSteps(call, 'DEL', [removeLinks])]);
}

/** Whether the node's end of a pod's veth, which the kernel deletes with it, has this tag. */
function hasTaggedEnd(node: NetlinkSocket, link: Link | undefined, tag: string): boolean {
  const isVeth = link?.kind === 'veth' && link.parent !== undefined;
  return isVeth && findLink(node, link.parent)?.alias === tag;
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
