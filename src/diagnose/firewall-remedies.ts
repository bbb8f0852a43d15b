import type { RuleSet } from '../agent/rules/model.ts';
import type { PossibleDrop } from '../net/filter/evaluate.ts';

/* How a rule of another program that drops packets is named, and what makes that program accept them. */

/** As in `nftables table inet filter, chain forward: policy drop`. */
export function placeOf({ table, chain, rule }: PossibleDrop): string {
  return `${table.name}, chain ${chain}: \`${rule}\``;
}

function isFirewalld({ table }: PossibleDrop): boolean {
  return /^nftables table \S+ firewalld$/.test(table.name);
}

/** What makes a firewall accept packets of pods. */
export function remedyForPods(drop: PossibleDrop, { families }: RuleSet): string {
  const networks = families
    .filter(({ family }) => drop.table.family === 'both' || drop.table.family === family)
    .map(({ family, cluster }) => ({ word: family === 6 ? 'ip6' : 'ip', cluster }));
  if (isFirewalld(drop)) {
    const sources = networks.map(({ cluster }) => `--add-source=${cluster}`).join(' ');
    return `firewall-cmd --permanent --zone=trusted ${sources} && firewall-cmd --reload`;
  }
  if (drop.table.tool === 'iptables')
    return 'with --iptables-forward-rules (the default) the agent inserts accepting rules before this one within --iptables-resync seconds; otherwise insert them manually';
  const place = `${drop.table.name.replace('nftables table ', '')} ${drop.chain}`;
  const commands = networks.flatMap(({ word, cluster }) =>
    ['saddr', 'daddr'].map(side => `nft insert rule ${place} ${word} ${side} ${cluster} accept`),
  );
  return `${commands.join('; ')}; an accept in another table does not help: write the rules into the configuration of that firewall as well`;
}

/** What makes a firewall accept the datagrams of peers. */
export function remedyForTunnel(drop: PossibleDrop, port: number | undefined): string {
  if (isFirewalld(drop)) return `firewall-cmd --permanent --add-port=${port}/udp && firewall-cmd --reload`;
  if (drop.table.tool === 'iptables') {
    const [program] = drop.table.name.split(' ');
    return `${program} -I ${drop.chain} -p udp --dport ${port} -j ACCEPT, and in the configuration of that firewall`;
  }
  const place = `${drop.table.name.replace('nftables table ', '')} ${drop.chain}`;
  return `nft insert rule ${place} udp dport ${port} accept, and in the configuration of that firewall`;
}
