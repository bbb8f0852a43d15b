import { commentedRules } from '../../../net/nft/comments.ts';
import { applyNft, type NftObject } from '../../../net/nft/nft.ts';
import { hasNftChain } from '../../../net/nft/presence.ts';
import { callTag, staleTags } from '../../link/tag.ts';
import type { RuleBackend } from '../../rules/backend.ts';
import { countRules, type RuleChain, ruleDeletions } from '../../rules/nft-rules.ts';
import { CniError, CODE } from '../../skel/errors.ts';

/*
 * A frame that comes in by a guarded port and does not carry the port's MAC address as its source is dropped. The rules are
 * those of the reference plugin, so that the DEL of either project removes what the other one made: PREROUTING leads to a
 * chain of the port, which leads to a chain of the address. Their comments name no network; for GC the address's chain has
 * one rule more, with the attachment's tag as its comment. It is behind the drop, so that no frame reaches it.
 */

interface GuardedPort {
  /** Name of the node's end of the pair. */
  name: string;
  /** MAC address of the pod's end. */
  mac: string | undefined;
}

const NAT = { family: 'bridge', table: 'nat' } as const;
const PREROUTING: RuleChain = { ...NAT, chain: 'PREROUTING' };

/** Before everything else that looks at bridged frames (linux/netfilter_bridge.h NF_BR_PRI_NAT_DST_BRIDGED). */
const PRIORITY = -300;

const HOOK = { type: 'filter', hook: 'prerouting', prio: PRIORITY, policy: 'accept' };

const PORT_CHAIN = 'cni-br-iface-';
const ADDRESS_CHAIN_END = '-mac';

type Owner = Readonly<{ containerId: string; ifname: string }>;

const idOf = ({ containerId, ifname }: Owner) => `${containerId}-${ifname}`;
const commentOf = (id: string) => `macspoofchk-${id}`;
const chainsOf = (id: string) => [`${PORT_CHAIN}${id}`, `${PORT_CHAIN}${id}${ADDRESS_CHAIN_END}`] as const;

const equal = (left: NftObject, right: string) => ({ match: { op: '==', left, right } });

async function remove(netns: string, id: string): Promise<void> {
  const jumps = ruleDeletions(netns, PREROUTING, comment => comment === commentOf(id));
  const chains = chainsOf(id).filter(chain => hasNftChain(netns, NAT.family, NAT.table, chain));
  const act = (verb: 'flush' | 'delete') => chains.map(name => ({ [verb]: { chain: { ...NAT, name } } }));
  await applyNft(netns, [...jumps, ...act('flush'), ...act('delete')]);
}

export const spoofGuard: RuleBackend<GuardedPort> = {
  async add(call, { name, mac }) {
    if (mac === undefined) throw new CniError(CODE.INTERNAL, `the pod's end of ${name} has no MAC address`);
    const id = idOf(call);
    const [port, address] = chainsOf(id);
    const rule = (chain: string, ...expr: NftObject[]): NftObject => ({
      add: { rule: { ...NAT, chain, expr, comment: commentOf(id) } },
    });
    const jump = (target: string) => ({ jump: { target } });
    const isItsOwn = equal({ payload: { protocol: 'ether', field: 'saddr' } }, mac);
    await applyNft(call.host.netns, [
      { add: { table: { family: NAT.family, name: NAT.table } } },
      { add: { chain: { ...NAT, name: PREROUTING.chain, ...HOOK } } },
      ...[port, address].flatMap((chain): NftObject[] => [
        { add: { chain: { ...NAT, name: chain } } },
        { flush: { chain: { ...NAT, name: chain } } },
      ]),
      rule(PREROUTING.chain, equal({ meta: { key: 'iifname' } }, name), jump(port)),
      rule(port, jump(address)),
      rule(address, isItsOwn, { return: null }),
      rule(address, { drop: null }),
      { add: { rule: { ...NAT, chain: address, expr: [{ continue: null }], comment: callTag(call) } } },
    ]);
  },

  async check(call, { name }) {
    const id = idOf(call);
    const [port, address] = chainsOf(id);
    const count = (chain: string) =>
      countRules(call.host.netns, [{ ...NAT, chain }], comment => comment === commentOf(id));
    return count(PREROUTING.chain) > 0 && count(port) > 0 && count(address) > 1 ? [] : [name];
  },

  remove: call => remove(call.host.netns, idOf(call)),

  async gc({ host, name }, valid) {
    const isStale = staleTags(name, valid);
    for (const { chain, comment } of commentedRules(host.netns, NAT.family, NAT.table)) {
      if (isStale(comment))
        await remove(host.netns, chain.slice(PORT_CHAIN.length, -ADDRESS_CHAIN_END.length));
    }
  },
};
