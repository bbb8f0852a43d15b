import t from 'tap';
import { removeFlannelRules } from '../../../src/agent/rules/flannel-rules.ts';
import { IptablesRules } from '../../../src/agent/rules/iptables.ts';
import type { RuleReconciler, RuleSet } from '../../../src/agent/rules/model.ts';
import { udpPorts } from '../../../src/agent/rules/model.ts';
import { NftablesRules } from '../../../src/agent/rules/nftables.ts';
import { namespaceFor } from '../../fixtures/lab.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

const RULES: RuleSet = {
  families: [
    {
      family: 4,
      cluster: '10.244.0.0/16',
      pods: '10.244.1.0/24',
      underlay: '192.0.2.1',
      noTransitFrom: 'flannel.1',
    },
    {
      family: 6,
      cluster: 'fc00::/48',
      pods: 'fc00:0:0:1::/64',
      underlay: 'fd00::1',
      noTransitFrom: 'flannel-v6.1',
    },
  ],
  masquerade: true,
  fullyRandom: true,
  forward: true,
  tunnelPort: 8472,
  guard: { underlay: 'eth0', podInterfaces: ['cni0', 'flannel.1'], nodeNetworks: [] },
};

for (const tool of ['nftables', 'iptables'] as const)
  t.test(tool, { skip: skipUnless('root', 'netns', 'nft', 'iptables', 'ip6tables') }, async t => {
    const ns = namespaceFor(t);
    const make = (): RuleReconciler =>
      tool === 'nftables' ? new NftablesRules(ns.path) : new IptablesRules(ns.path);
    const keeper = make();
    const everything = () => ns.must(['nft', 'list', 'ruleset']);
    ns.must(
      ['nft', '-f', '-'],
      'table inet foreign {\n chain c {\n type filter hook input priority 0\n tcp dport 1 drop\n }\n}\n',
    );
    if (tool === 'iptables') {
      ns.must(['iptables', '-t', 'nat', '-A', 'POSTROUTING', '-s', '10.9.0.0/16', '-j', 'RETURN']);
      for (const family of ['iptables', 'ip6tables'])
        for (const table of ['nat', 'filter', 'raw', 'mangle']) ns.must([`${family}-save`, '-t', table]);
    }

    t.equal(await keeper.holds(RULES), false);
    await keeper.apply(RULES);
    t.equal(await keeper.holds(RULES), true, 'what was applied is recognised');
    const first = everything();
    t.match(first, /random/);
    await keeper.apply(RULES);
    t.equal(
      everything().replace(/handle \d+/g, ''),
      first.replace(/handle \d+/g, ''),
      'applying twice changes nothing',
    );

    t.test('foreign changes are detected and repaired', async t => {
      const damages: string[][] =
        tool === 'nftables'
          ? [
              ['nft', 'flush', 'chain', 'inet', 'ripstop', 'postrouting'],
              ['nft', 'insert', 'rule', 'inet', 'ripstop', 'forward', 'drop'],
              ['nft', 'flush', 'chain', 'inet', 'ripstop', 'from-pods'],
              ['nft', 'delete', 'table', 'inet', 'ripstop'],
              ['nft', 'flush', 'ruleset'],
            ]
          : [
              ['iptables', '-t', 'nat', '-F', 'RIPSTOP-POSTRTG'],
              ['iptables', '-t', 'nat', '-D', 'RIPSTOP-POSTRTG', '2'],
              ['iptables', '-t', 'nat', '-I', 'RIPSTOP-POSTRTG', '2', '-s', '10.244.0.0/16', '-j', 'RETURN'],
              ['iptables', '-t', 'nat', '-A', 'POSTROUTING', '-j', 'RIPSTOP-POSTRTG'],
              ['ip6tables', '-t', 'filter', '-F', 'FORWARD'],
              ['iptables', '-t', 'raw', '-F'],
              ['ip6tables', '-t', 'mangle', '-D', 'RIPSTOP-GUARD-IN', '5'],
            ];
      for (const damage of damages) {
        ns.must(damage);
        t.equal(await keeper.holds(RULES), false, `seen: ${damage.join(' ')}`);
        await keeper.apply(RULES);
        t.equal(await keeper.holds(RULES), true, 'repaired');
      }
    });

    t.test(
      'another subnet replaces the old rules; a new agent finds and replaces those of a former one',
      async t => {
        const moved = {
          ...RULES,
          families: [{ ...RULES.families[0]!, pods: '10.244.7.0/24' }],
          fullyRandom: false,
          tunnelPort: undefined,
          guard: undefined,
        };
        const next = make();
        await next.apply(moved);
        t.equal(await next.holds(moved), true);
        t.equal(await next.holds(RULES), false);
        const now = everything();
        t.notMatch(now, /10\.244\.1\.0/);
        t.notMatch(now, /fully-random|random-fully/);
        t.notMatch(now, /8472|fc00/);
      },
    );

    t.test('rules are removed completely, foreign rules stay; removing twice succeeds', async t => {
      await keeper.remove();
      await keeper.remove();
      const left = everything();
      t.notMatch(left, /ripstop|RIPSTOP/i);
      if (tool === 'iptables') t.match(left, /10\.9\.0\.0/);
    });
  });

t.test(
  'what flannel left is taken away, and nothing else',
  { skip: skipUnless('root', 'netns', 'nft', 'iptables', 'ip6tables') },
  async t => {
    const ns = namespaceFor(t);
    for (const program of ['iptables', 'ip6tables'])
      ns.must(
        [`${program}-restore`, '--noflush'],
        `*nat
:FLANNEL-POSTRTG - [0:0]
-A POSTROUTING -m comment --comment "flanneld masq" -j FLANNEL-POSTRTG
-A FLANNEL-POSTRTG -m mark --mark 0x4000/0x4000 -m comment --comment "flanneld masq" -j RETURN
-A POSTROUTING -m comment --comment "kubernetes postrouting rules" -j RETURN
COMMIT
*filter
:FLANNEL-FWD - [0:0]
-A FORWARD -m comment --comment "flanneld forward" -j FLANNEL-FWD
COMMIT
`,
      );
    ns.must(['nft', '-f', '-'], 'table ip flannel-ipv4 {\n}\ntable ip6 flannel-ipv6 {\n}\n');
    t.same(await removeFlannelRules(ns.path), [
      'nftables table ip flannel-ipv4',
      'nftables table ip6 flannel-ipv6',
      'iptables chain FLANNEL-POSTRTG',
      'iptables chain FLANNEL-FWD',
      'ip6tables chain FLANNEL-POSTRTG',
      'ip6tables chain FLANNEL-FWD',
    ]);
    const left = ns.must(['nft', 'list', 'ruleset']);
    t.notMatch(left, /flannel/i);
    t.match(
      ns.must(['iptables-save', '-t', 'nat']),
      'kubernetes postrouting rules',
      'what is not flannel’s stays',
    );
    t.same(await removeFlannelRules(ns.path), [], 'removing twice succeeds');
  },
);

t.test('the tunnel’s port is never a masqueraded source port', async t => {
  t.equal(udpPorts(8472), '8473-65535');
  t.equal(udpPorts(53), '1024-65535');
  t.equal(udpPorts(51820), '1024-51819');
  t.equal(udpPorts(undefined), undefined);
});
