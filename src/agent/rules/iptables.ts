import type { Family } from '../../ip/address.ts';
import { readIptablesTable } from '../../net/filter/iptables-table.ts';
import {
  restoreIptables,
  rulesOfChain,
  saveIptables,
  type Variant,
  variantsInUse,
} from '../../net/iptables.ts';
import { splitRule } from '../../net/iptables-words.ts';
import {
  type FamilyRules,
  KUBE_MASQUERADE_MARK,
  MULTICAST,
  NOT_FORWARDED,
  POD_LINKS,
  type RuleReconciler,
  type RuleSet,
  translatedSources,
  udpPorts,
} from './model.ts';
import { dropsPods, podSamples } from './pod-samples.ts';

/** One of our chains, and the jump to it from a chain of the kernel. */
interface Chain {
  readonly table: 'nat' | 'filter' | 'raw' | 'mangle';
  /** What follows `RIPSTOP-` and the name of the instance. */
  readonly name: string;
  readonly hook: string;
  readonly comment: string;
  /** Rules in order, without `-A <chain>`; undefined: no such chain. */
  readonly rules: (rules: RuleSet, own: FamilyRules) => string[] | undefined;
}

const MARK = `0x${KUBE_MASQUERADE_MARK.toString(16)}`;

const CHAINS: readonly Chain[] = [
  {
    table: 'nat',
    name: 'POSTRTG',
    hook: 'POSTROUTING',
    comment: 'ripstop masq',
    rules: masqueradeRules,
  },
  {
    table: 'nat',
    name: 'HOST',
    hook: 'POSTROUTING',
    comment: 'ripstop host',
    rules: (rules, own) => {
      const sources = translatedSources(rules, own);
      if (sources.length === 0) return undefined;
      return sources.map(source => `-s ${whole(own.family, source)} -o ${own.outside} -j MASQUERADE`);
    },
  },
  {
    table: 'filter',
    name: 'FWD',
    hook: 'FORWARD',
    comment: 'ripstop forward',
    rules: ({ forward }, { cluster }) =>
      forward ? [`-s ${cluster} -j ACCEPT`, `-d ${cluster} -j ACCEPT`] : undefined,
  },
  {
    table: 'mangle',
    name: 'GUARD-FWD',
    hook: 'FORWARD',
    comment: 'ripstop tunnel guard',
    rules: (rules, own) =>
      guardRules(rules, own, [
        ...(rules.guard?.nodeNetworks ?? [])
          .filter(({ family }) => family === own.family)
          .flatMap(({ cidr }) => fromPods(rules).map(rule => `-d ${cidr} ${rule}`)),
        `-d ${own.cluster} -j RETURN`,
      ]),
  },
  {
    table: 'mangle',
    name: 'GUARD-IN',
    hook: 'INPUT',
    comment: 'ripstop tunnel guard',
    rules: (rules, own) => guardRules(rules, own, []),
  },
  {
    table: 'raw',
    name: 'TUNNEL-IN',
    hook: 'PREROUTING',
    comment: 'ripstop tunnel',
    rules: ({ tunnelPort }, { family, underlay }) =>
      tunnelPort && underlay
        ? [`-d ${whole(family, underlay)} -p udp -m udp --dport ${tunnelPort} -j CT --notrack`]
        : undefined,
  },
  {
    table: 'raw',
    name: 'NO-TRANSIT',
    hook: 'PREROUTING',
    comment: 'ripstop no transit',
    rules: (_, { family, pods, noTransitFrom }) =>
      noTransitFrom === undefined
        ? undefined
        : [
            `! -i ${noTransitFrom} -j RETURN`,
            `-d ${pods} -j RETURN`,
            `-d ${NOT_FORWARDED[family]} -j RETURN`,
            '-j DROP',
          ],
  },
  {
    table: 'raw',
    name: 'TUNNEL-OUT',
    hook: 'OUTPUT',
    comment: 'ripstop tunnel',
    rules: ({ tunnelPort, guard }, { family, underlay, cluster }) => {
      if (!tunnelPort) return undefined;
      const match = `-p udp -m udp --dport ${tunnelPort}`;
      const rules = [
        // Ends the chain for the node's own datagrams: the pod network may contain its address.
        ...(underlay
          ? ['CT --notrack', 'RETURN'].map(target => `-s ${whole(family, underlay)} ${match} -j ${target}`)
          : []),
        // IPVS forwards packets of pods to endpoints of a Service through the output hook.
        ...(guard ? [`-s ${cluster} ! -d ${cluster} ${match} -j DROP`] : []),
      ];
      return rules.length > 0 ? rules : undefined;
    },
  },
];

/**
 * Rules that drop what arrives by interfaces of pods. Each names the port: only the first fragment of a datagram matches a
 * port or its negation, so an earlier rule with `! --dport` does not match the other fragments.
 */
function fromPods({ guard, tunnelPort }: RuleSet): string[] {
  if (!guard) return [];
  const names = [...guard.podInterfaces, `${POD_LINKS}+`];
  return names.map(name => `-i ${name} -p udp -m udp --dport ${tunnelPort} -j DROP`);
}

/** Drops what pods send to the tunnel port, as `guard` in nftables.ts. @param before rules by destination */
function guardRules(
  rules: RuleSet,
  { cluster }: FamilyRules,
  before: readonly string[],
): string[] | undefined {
  const { guard, tunnelPort } = rules;
  if (!guard || !tunnelPort) return undefined;
  return [
    '! -p udp -j RETURN',
    `-p udp -m udp ! --dport ${tunnelPort} -j RETURN`,
    `-i ${guard.underlay} -j RETURN`,
    '-i lo -j RETURN',
    ...before,
    ...fromPods(rules),
    `-s ${cluster} -p udp -m udp --dport ${tunnelPort} -j DROP`,
  ];
}

/** In the order of flannel's chain; UDP is not masqueraded to the port of the tunnel. */
function masqueradeRules(rules: RuleSet, { family, cluster, pods }: FamilyRules): string[] | undefined {
  if (!rules.masquerade) return undefined;
  const ports = udpPorts(rules.tunnelPort);
  const random = rules.fullyRandom ? ' --random-fully' : '';
  const translate = (match: string): string[] => [
    ...(ports ? [`${match} -p udp -j MASQUERADE --to-ports ${ports}${random}`] : []),
    `${match} -j MASQUERADE${random}`,
  ];
  return [
    `-m mark --mark ${MARK}/${MARK} -j RETURN`,
    `-s ${pods} -d ${cluster} -j RETURN`,
    `-s ${cluster} -d ${pods} -j RETURN`,
    `! -s ${cluster} -d ${pods} -j RETURN`,
    ...translate(`-s ${cluster} ! -d ${MULTICAST[family]}`),
    ...translate(`! -s ${cluster} -d ${cluster}`),
  ];
}

function whole(family: Family, address: string): string {
  return `${address}/${family === 4 ? 32 : 128}`;
}

/**
 * Keeps the rules with iptables and ip6tables. Only chains that begin with `RIPSTOP-` and the jumps to them are ours.
 */
export class IptablesRules implements RuleReconciler {
  readonly tool = 'iptables';
  readonly #netns: string;
  readonly #variant: Variant | undefined;
  readonly #chains: readonly Chain[];

  /**
   * @param instance name of one of several agents on a node, part of the chains' names
   * @param only the tables to keep; default: all
   * @param variant default: that of the program `iptables`
   */
  constructor(netns: string, instance = '', only?: readonly Chain['table'][], variant?: Variant) {
    this.#netns = netns;
    this.#variant = variant;
    const prefix = instance === '' ? 'RIPSTOP-' : `RIPSTOP-${instance.toUpperCase()}-`;
    this.#chains = CHAINS.filter(({ table }) => only?.includes(table) ?? true).map(chain => ({
      ...chain,
      name: prefix + chain.name,
    }));
  }

  async holds(rules: RuleSet): Promise<boolean> {
    for (const family of [4, 6] as const) {
      for (const table of this.#tables()) {
        const saved = await this.#save(family, table);
        if (saved === undefined) continue;
        if (this.#script(family, table, rules, saved) !== '') return false;
      }
    }
    return true;
  }

  async apply(rules: RuleSet): Promise<void> {
    await this.#write(rules);
  }

  async remove(): Promise<boolean> {
    return this.#write(undefined);
  }

  /** @returns true when something was changed */
  async #write(rules: RuleSet | undefined): Promise<boolean> {
    let isChanged = false;
    for (const family of [4, 6] as const) {
      for (const table of this.#tables()) {
        const saved = await this.#save(family, table);
        if (saved === undefined) {
          // A variant that was asked for is kept only where it is in use.
          if (this.#variant === undefined && rules?.families.some(own => own.family === family))
            await saveIptables(this.#netns, family, table);
          continue;
        }
        const script = this.#script(family, table, rules, saved);
        if (script === '') continue;
        await restoreIptables(this.#netns, family, script, this.#variant);
        isChanged = true;
      }
    }
    return isChanged;
  }

  /** The transaction that turns one table into the desired one; '' when nothing differs. */
  #script(family: Family, table: string, rules: RuleSet | undefined, saved: string): string {
    const own = rules?.families.find(candidate => candidate.family === family);
    const heads: string[] = [];
    const lines: string[] = [];
    for (const chain of this.#chains.filter(candidate => candidate.table === table)) {
      const wanted = rules && own ? chain.rules(rules, own) : undefined;
      const isThere = saved.includes(`\n:${chain.name} `);
      const jumps = rulesOfChain(saved, chain.hook).filter(line => splitRule(line).at(-1) === chain.name);
      if (!wanted && !isThere) continue;
      const present = rulesOfChain(saved, chain.name).map(line =>
        canonicalRule(line.slice(chain.name.length + 4)),
      );
      const isRight = wanted && isThere && present.join('\n') === wanted.map(canonicalRule).join('\n');
      if (!isRight) heads.push(`:${chain.name} - [0:0]`);
      if (wanted && !isRight) lines.push(...wanted.map(rule => `-A ${chain.name} ${rule}`));
      const isPlaced = jumps.length === 1 && !(rules && isBehindDrop(rules, family, saved, chain, jumps[0]));
      if (wanted && isPlaced) continue;
      lines.push(...jumps.map(line => line.replace(/^-A/, '-D')));
      // First in FORWARD, before any foreign DROP; last in POSTROUTING, after kube-proxy.
      const verb = chain.hook === 'POSTROUTING' ? '-A' : '-I';
      if (wanted)
        lines.push(`${verb} ${chain.hook} -m comment --comment "${chain.comment}" -j ${chain.name}`);
      else lines.push(`-X ${chain.name}`);
    }
    return heads.length + lines.length === 0
      ? ''
      : [`*${table}`, ...heads, ...lines, 'COMMIT', ''].join('\n');
  }

  #tables(): Set<Chain['table']> {
    return new Set(this.#chains.map(({ table }) => table));
  }

  /** The saved table; undefined without iptables, or without support for this family or table. */
  async #save(family: Family, table: string): Promise<string | undefined> {
    const variant = this.#variant;
    // To list a table of the old interface makes it, with its hooks.
    if (variant && !(await variantsInUse(this.#netns, family, table)).includes(variant)) return undefined;
    return saveIptables(this.#netns, family, table, this.#variant).catch(() => undefined);
  }
}

/**
 * True when a rule before the jump to our accepting chain drops packets of pods. The jump is first when it is made, and a
 * program that inserts rules later may precede it: its rules about single pods (network policies) stay in front.
 */
function isBehindDrop(
  rules: RuleSet,
  family: Family,
  saved: string,
  { table, hook }: Chain,
  jump: string | undefined,
): boolean {
  if (table !== 'filter') return false;
  const read = readIptablesTable(saved, table, family, 'nft');
  const chain = read.chains.get(hook);
  if (!chain) return false;
  const before = chain.rules.slice(
    0,
    chain.rules.findIndex(({ text }) => text === jump),
  );
  return dropsPods(read, { ...chain, rules: before, policy: 'accept' }, podSamples(rules));
}

/** A canonical form of a rule: iptables-save has its own order of options and writes a negation before the option. */
function canonicalRule(rule: string): string {
  const words = splitRule(rule);
  const options: string[] = [];
  let option: string[] = [];
  for (const word of words) {
    // `!` starts an option together with the word that follows.
    if (/^(-|!)/.test(word) && option.length > 0 && option.join() !== '!') {
      options.push(option.join(' '));
      option = [];
    }
    option.push(word);
  }
  if (option.length > 0) options.push(option.join(' '));
  // `-p udp` implies `-m udp`, which not all versions of iptables-save write.
  return options
    .filter(option => option !== '-m udp')
    .sort()
    .join(' ');
}
