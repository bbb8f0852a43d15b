import { applyNftScript, listNft, type NftObject } from '../../net/nft/nft.ts';
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

/** Name of the table of an instance, which contains all its rules. */
export function tableOf(instance: string): string {
  return instance === '' ? 'ripstop' : `ripstop-${instance}`;
}

/**
 * The table in nft's language. It is declared, deleted and filled in one script, hence in one kernel transaction:
 * packets see the old rules or the new ones.
 */
export function nftScript(rules: RuleSet, table: string): string {
  const lines = [`table inet ${table}`, `delete table inet ${table}`, `table inet ${table} {`];
  if (rules.tunnelPort !== undefined) lines.push(...notrack(rules.tunnelPort, rules));
  lines.push(...guard(rules));
  lines.push(...noTransit(rules.families));
  if (rules.masquerade) lines.push(...masquerade(rules));
  lines.push(...hostSources(rules));
  if (rules.forward) lines.push(...forward(rules.families));
  lines.push('}');
  return `${lines.join('\n')}\n`;
}

/** Datagrams of the tunnel bypass conntrack, so that no NAT rule applies to them and they do not fill its table. */
function notrack(port: number, { families, guard }: RuleSet): string[] {
  const own = families.filter(family => family.underlay !== undefined);
  const into = own.map(
    ({ family, underlay }) => `    ${ip(family)} daddr ${underlay} udp dport ${port} notrack`,
  );
  const out = own.map(
    ({ family, underlay }) => `    ${ip(family)} saddr ${underlay} udp dport ${port} notrack return`,
  );
  return [
    '  chain tunnel-in {',
    '    type filter hook prerouting priority raw; policy accept;',
    ...into,
    '  }',
    '  chain tunnel-out {',
    '    type filter hook output priority raw; policy accept;',
    // Ends the chain for the node's own datagrams: the pod network may contain its address.
    ...out,
    // IPVS forwards packets of pods to endpoints of a Service through the output hook.
    ...(guard
      ? families.map(({ family, cluster }) => `    ${podSource(family, cluster, port)} counter drop`)
      : []),
    '  }',
  ];
}

function podSource(family: 4 | 6, cluster: string, port: number): string {
  return `${ip(family)} saddr ${cluster} ${ip(family)} daddr != ${cluster} udp dport ${port}`;
}

/**
 * Drops what pods send to the tunnel port outside the pod network. The forward and input hooks follow DNAT, so this
 * includes packets to a Service or a host port that leads there; priority mangle precedes every filter that may accept.
 * Other packets cost one comparison.
 */
function guard({ guard, tunnelPort, families }: RuleSet): string[] {
  if (!guard || tunnelPort === undefined) return [];
  const names = [...guard.podInterfaces, `${POD_LINKS}*`];
  const toNodes = guard.nodeNetworks.flatMap(({ family, cidr }) =>
    names.map(
      name => `    udp dport ${tunnelPort} ${ip(family)} daddr ${cidr} iifname "${name}" counter drop`,
    ),
  );
  return [
    '  chain from-pods {',
    `    iifname "${guard.underlay}" return`,
    '    iifname "lo" return',
    ...names.map(name => `    iifname "${name}" counter drop`),
    ...families.map(({ family, cluster }) => `    ${ip(family)} saddr ${cluster} counter drop`),
    '  }',
    '  chain guard-forward {',
    '    type filter hook forward priority mangle; policy accept;',
    ...families.map(
      ({ family, cluster }) => `    udp dport ${tunnelPort} ${ip(family)} daddr != ${cluster} jump from-pods`,
    ),
    ...toNodes,
    '  }',
    '  chain guard-input {',
    '    type filter hook input priority mangle; policy accept;',
    `    udp dport ${tunnelPort} jump from-pods`,
    '  }',
  ];
}

/** The hook precedes DNAT: a packet to an address of this node may become one to a pod elsewhere (a NodePort). */
function noTransit(families: readonly FamilyRules[]): string[] {
  const lines = families.flatMap(({ family, pods, noTransitFrom }) =>
    noTransitFrom === undefined
      ? []
      : [
          `    iifname "${noTransitFrom}" ${ip(family)} daddr != { ${pods}, ${NOT_FORWARDED[family]} } counter drop`,
        ],
  );
  if (lines.length === 0) return [];
  return [
    '  chain no-transit {',
    '    type filter hook prerouting priority raw; policy accept;',
    ...lines,
    '  }',
  ];
}

function masquerade(rules: RuleSet): string[] {
  const random = rules.fullyRandom ? ' fully-random' : '';
  const ports = udpPorts(rules.tunnelPort);
  const mark = `0x${KUBE_MASQUERADE_MARK.toString(16)}`;
  const lines = rules.families.flatMap(({ family, cluster, pods }) => {
    const [from, to] = [`${ip(family)} saddr`, `${ip(family)} daddr`];
    const out = `${from} ${cluster} ${to} != ${MULTICAST[family]}`;
    const into = `${from} != ${cluster} ${to} ${cluster}`;
    const translate = (match: string): string[] => [
      ...(ports ? [`    ${match} meta l4proto udp masquerade to :${ports}${random}`] : []),
      `    ${match} masquerade${random}`,
    ];
    return [
      `    ${from} ${pods} ${to} ${cluster} return comment "pods to the cluster keep their address"`,
      `    ${from} ${cluster} ${to} ${pods} return comment "so do those that talk to our pods"`,
      `    ${from} != ${cluster} ${to} ${pods} return comment "clients of a NodePort keep their address"`,
      ...translate(out),
      ...translate(into),
    ];
  });
  return [
    '  chain postrouting {',
    '    type nat hook postrouting priority srcnat; policy accept;',
    `    meta mark & ${mark} == ${mark} return comment "kube-proxy masquerades these itself"`,
    ...lines,
    '  }',
  ];
}

/**
 * Without masquerading, packets of the node itself to pods of other nodes (a Service leads there) keep their source. Other
 * nodes accept the published address; any other source becomes the address of the overlay device.
 */
function hostSources(rules: RuleSet): string[] {
  const lines = rules.families.flatMap(own => {
    const sources = translatedSources(rules, own);
    if (sources.length === 0) return [];
    return [`    oifname "${own.outside}" ${ip(own.family)} saddr { ${sources.join(', ')} } masquerade`];
  });
  if (lines.length === 0) return [];
  return [
    '  chain host-sources {',
    '    type nat hook postrouting priority srcnat; policy accept;',
    ...lines,
    '  }',
  ];
}

function forward(families: readonly FamilyRules[]): string[] {
  const lines = families.flatMap(({ family, cluster }) => [
    `    ${ip(family)} saddr ${cluster} accept`,
    `    ${ip(family)} daddr ${cluster} accept`,
  ]);
  return [
    '  chain forward {',
    '    type filter hook forward priority filter; policy accept;',
    ...lines,
    '  }',
  ];
}

function ip(family: 4 | 6): string {
  return family === 4 ? 'ip' : 'ip6';
}

/** Keeps the rules with `nft`. */
export class NftablesRules implements RuleReconciler {
  readonly tool = 'nftables';
  readonly #netns: string;
  readonly #table: string;
  /** The script that was applied last, and the kernel's listing of it, which has another form. */
  #applied: { script: string; listed: string } | undefined;

  constructor(netns: string, instance = '') {
    this.#netns = netns;
    this.#table = tableOf(instance);
  }

  async holds(rules: RuleSet): Promise<boolean> {
    return (
      this.#applied?.script === nftScript(rules, this.#table) && (await this.#list()) === this.#applied.listed
    );
  }

  async apply(rules: RuleSet): Promise<void> {
    const script = nftScript(rules, this.#table);
    await applyNftScript(this.#netns, script);
    this.#applied = { script, listed: await this.#list() };
  }

  /** True when our table exists, whatever it contains. */
  async exists(): Promise<boolean> {
    return (await listNft(this.#netns, ['table', 'inet', this.#table])).length > 0;
  }

  async remove(): Promise<boolean> {
    this.#applied = undefined;
    if (!(await this.exists())) return false;
    await applyNftScript(this.#netns, `table inet ${this.#table}\ndelete table inet ${this.#table}\n`);
    return true;
  }

  async #list(): Promise<string> {
    return canonicalListing(await listNft(this.#netns, ['table', 'inet', this.#table]));
  }
}

/** A listing without handles and counts, which change by themselves. */
function canonicalListing(objects: readonly NftObject[]): string {
  return JSON.stringify(objects, (key, value: unknown) =>
    key === 'handle' ? undefined : key === 'counter' ? null : value,
  );
}
