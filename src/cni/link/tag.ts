import type { Attachment } from '../config/network.ts';
import type { Call } from '../skel/plugin.ts';
import { sha256 } from './sha256.ts';

/*
 * What an attachment leaves in the kernel outside of the pod carries its tag: the alias of a link, the comment of an
 * nftables element. So DEL finds it without a namespace or an address, and GC finds what no attachment owns.
 */

function hash(text: string, digits: number): string {
  return sha256(text).slice(0, digits);
}

/** Beginning of every tag of a network. */
export function networkTag(network: string): string {
  return `rs${hash(network, 12)}-`;
}

/** 40 characters: fits into an alias (255), a comment of nftables (127) and of iptables (255). */
export function tagOf(network: string, containerId: string, ifname: string): string {
  return `${networkTag(network)}${hash(`${containerId}\0${ifname}`, 24)}`;
}

export function callTag(call: Call): string {
  return tagOf(call.name, call.containerId, call.ifname);
}

/** A predicate for the tags of a network that belong to no valid attachment. */
export function staleTags(network: string, valid: readonly Attachment[]): (tag: string) => boolean {
  const prefix = networkTag(network);
  const kept = new Set(valid.map(one => tagOf(network, one.containerID, one.ifname)));
  return tag => tag.startsWith(prefix) && !kept.has(tag);
}
