import { canonicalNetwork } from '../../ip/prefix.ts';
import { applyNftScript } from '../../net/nft/nft.ts';
import { sha512 } from '../link/sha512.ts';
import { type AssignedAddress, hostPart, isV6 } from '../result/types.ts';
import type { RuleBackend } from './backend.ts';
import { MASQUERADE_TABLE, SRCNAT } from './nft-elements.ts';
import { countRules, type RuleChain, removeRules } from './nft-rules.ts';

/*
 * The reference plugins' rules (since their 1.6): one per address, whose comment begins with hashes of network and
 * attachment. The DEL and GC of either project find what the other one made.
 */

const TABLE = `inet ${MASQUERADE_TABLE}`;
const CHAINS: readonly RuleChain[] = [{ family: 'inet', table: MASQUERADE_TABLE, chain: 'masq_checks' }];

/** Longest comment of a rule, bytes (libnftnl NFTNL_UDATA_COMMENT_MAXLEN); the reference cuts its own there. */
const COMMENT_MAX = 128;

const BASE = `
add table ${TABLE}
add chain ${TABLE} masq_checks
add chain ${TABLE} postrouting { type nat hook postrouting priority ${SRCNAT} ; }
flush chain ${TABLE} postrouting
add rule ${TABLE} postrouting ip daddr 224.0.0.0/4 return
add rule ${TABLE} postrouting ip6 daddr ff00::/8 return
add rule ${TABLE} postrouting goto masq_checks
`;

const hash = (text: string) => sha512(text).slice(0, 16);

/** Beginning of the comments of a network. */
const networkPart = (network: string) => `${hash(network)}-`;

/** Beginning of the comments of an attachment. */
const attachmentPart = (network: string, containerId: string, ifname: string) =>
  `${networkPart(network)}${hash(`${ifname}:${containerId}`)}`;

/** Accepts comments with a beginning, whose hashes are computed only where there is a comment. */
function beginningWith(compute: () => string): (comment: string) => boolean {
  let beginning: string | undefined;
  return comment => {
    beginning ??= compute();
    return comment.startsWith(beginning);
  };
}

type Named = Readonly<{ name: string; containerId: string; ifname: string }>;

/** The whole comment, which the reference's GC compares. */
function masqueradeComment({ name, containerId, ifname }: Named): string {
  const shown = `net: ${name}, if: ${ifname.replaceAll('"', '')}, id: ${containerId}`;
  return `${attachmentPart(name, containerId, ifname)}, ${shown}`.slice(0, COMMENT_MAX);
}

function ruleFor({ address }: AssignedAddress, comment: string): string {
  const family = isV6(address) ? 'ip6' : 'ip';
  const outside = `${family} saddr ${hostPart(address)} ${family} daddr != ${canonicalNetwork(address)}`;
  return `add rule ${TABLE} masq_checks ${outside} masquerade comment "${comment}"\n`;
}

export const nftMasquerade: RuleBackend<readonly AssignedAddress[]> = {
  async add(call, ips) {
    const comment = masqueradeComment(call);
    await applyNftScript(call.host.netns, BASE + ips.map(one => ruleFor(one, comment)).join(''));
  },

  async remove({ host, name, containerId, ifname }) {
    const isOwn = beginningWith(() => attachmentPart(name, containerId, ifname));
    await removeRules(host.netns, CHAINS, isOwn);
  },

  async check({ host, name, containerId, ifname }, ips) {
    const isOwn = beginningWith(() => attachmentPart(name, containerId, ifname));
    const count = countRules(host.netns, CHAINS, isOwn);
    return count >= ips.length ? [] : ips.map(one => one.address);
  },

  async gc({ host, name }, valid) {
    const kept = new Set(valid.map(one => attachmentPart(name, one.containerID, one.ifname)));
    const network = networkPart(name);
    const length = network.length + hash('').length;
    const isStale = (comment: string) => comment.startsWith(network) && !kept.has(comment.slice(0, length));
    await removeRules(host.netns, CHAINS, isStale);
  },
};
