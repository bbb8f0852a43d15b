import t from 'tap';
import { requireAddress } from '../../../src/ip/address.ts';
import { possibleDrops } from '../../../src/net/filter/evaluate.ts';
import { readIptablesTable } from '../../../src/net/filter/iptables-table.ts';
import type { FilterPacket } from '../../../src/net/filter/model.ts';
import { readNftTables } from '../../../src/net/filter/nft-tables.ts';
import type { NftObject } from '../../../src/net/nft/nft.ts';

/* Which rules of other programs can drop a packet of a pod, by their texts alone. */

const PACKET: FilterPacket = {
  family: 4,
  source: requireAddress('10.244.1.255'),
  destination: requireAddress('10.244.255.255'),
  protocol: 'tcp',
  from: 'cni0',
  to: 'flannel.1',
};

const iptables = (...lines: string[]) =>
  readIptablesTable(['*filter', ...lines, 'COMMIT', ''].join('\n'), 'filter', 4, 'legacy');

/** `certain`, `after others` (a rule before it may accept), `if`, or nothing; with the rule. */
function drops(tables: ReturnType<typeof readNftTables>, packet: Partial<FilterPacket> = {}): string[] {
  return possibleDrops(tables, 'forward', { ...PACKET, ...packet }).map(
    ({ rule, isCertain, isMatch }) => `${isCertain ? 'certain' : isMatch ? 'after others' : 'if'}: ${rule}`,
  );
}

const OPEN = ':FORWARD ACCEPT [0:0]';
const CLOSED = ':FORWARD DROP [0:0]';

t.test('iptables: policies, final rejects and accepting rules before them', async t => {
  const reject = '-A FORWARD -j REJECT --reject-with icmp-host-prohibited';
  const cases: [string, string[], string[]][] = [
    ['nothing', [OPEN], []],
    ['policy', [CLOSED], ['certain: policy drop']],
    ['trailing reject', [OPEN, reject], [`certain: ${reject}`]],
    ['our accept first', [CLOSED, '-A FORWARD -s 10.244.0.0/16 -j ACCEPT', reject], []],
    ['another range', [CLOSED, '-A FORWARD -s 10.9.0.0/16 -j ACCEPT'], ['certain: policy drop']],
    ['the other direction', [CLOSED, '-A FORWARD ! -i cni0 -j ACCEPT'], ['certain: policy drop']],
    ['by interface', [CLOSED, '-A FORWARD -i cni+ -o flannel.1 -j ACCEPT'], []],
    [
      'established alone',
      [OPEN, '-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT', reject],
      [`certain: ${reject}`],
    ],
    ['invalid', [OPEN, '-A FORWARD -m conntrack --ctstate INVALID -j DROP'], []],
    ['one port', [OPEN, '-A FORWARD -p udp -m udp --dport 53 -j DROP'], []],
    [
      'any port',
      [OPEN, '-A FORWARD -p tcp -m tcp --dport 25 -j DROP'],
      ['if: -A FORWARD -p tcp -m tcp --dport 25 -j DROP'],
    ],
    [
      'an accept of some ports before',
      [CLOSED, '-A FORWARD -p tcp -m multiport --dports 80,443 -j ACCEPT'],
      ['after others: policy drop'],
    ],
    [
      'a set',
      [OPEN, '-A FORWARD -m set --match-set bad src -j DROP'],
      ['if: -A FORWARD -m set --match-set bad src -j DROP'],
    ],
    ['a mark', [OPEN, '-A FORWARD -m mark --mark 0x4/0x4 -j DROP'], []],
    [
      'no mark',
      [OPEN, '-A FORWARD -m mark ! --mark 0x4/0x4 -j DROP'],
      ['certain: -A FORWARD -m mark ! --mark 0x4/0x4 -j DROP'],
    ],
    ['a comment like an option', [OPEN, '-A FORWARD -p udp -m comment --comment "-j DROP" -j LOG'], []],
    [
      'a chain that returns',
      [OPEN, ':X - [0:0]', '-A FORWARD -j X', '-A X -i cni0 -j RETURN', '-A X -j DROP'],
      [],
    ],
    [
      'a chain that drops',
      [OPEN, ':X - [0:0]', '-A FORWARD -i cni0 -j X', '-A X -j DROP'],
      ['certain: -A X -j DROP'],
    ],
    ['goto ends the chain', [OPEN, ':X - [0:0]', '-A FORWARD -g X', '-A FORWARD -j DROP', '-A X -j LOG'], []],
    [
      'network policy of a pod',
      [OPEN, ':P - [0:0]', '-A FORWARD -m set --match-set pod dst -j P', '-A P -j REJECT'],
      ['if: -A P -j REJECT'],
    ],
    ['a loop', [OPEN, ':X - [0:0]', '-A FORWARD -j X', '-A X -j X'], []],
  ];
  for (const [name, lines, expected] of cases) t.same(drops([iptables(...lines)]), expected, name);
  const port = [CLOSED, '-A FORWARD -p tcp -m tcp --dport 80:90 -j ACCEPT'];
  t.same(drops([iptables(...port)], { destinationPort: 85 }), [], 'a port in the range');
  t.same(drops([iptables(...port)], { destinationPort: 91 }), ['certain: policy drop']);
});

/** Objects of `nft -j list ruleset` for one table `inet filter` with the chain `forward`. */
function nft(policy: string, rules: readonly unknown[][], more: readonly NftObject[] = []): NftObject[] {
  const place = { family: 'inet', table: 'filter' };
  return [
    { table: { family: 'inet', name: 'filter' } },
    { chain: { ...place, name: 'forward', type: 'filter', hook: 'forward', prio: 0, policy } },
    ...more,
    ...rules.map(expr => ({ rule: { ...place, chain: 'forward', expr } })),
  ];
}

const match = (left: unknown, right: unknown, op = '==') => ({ match: { op, left, right } });
const meta = (key: string) => ({ meta: { key } });
const header = (protocol: string, field: string) => ({ payload: { protocol, field } });
const prefix = (addr: string, len: number) => ({ prefix: { addr, len } });
const ACCEPT = { accept: null };
const DROP = { drop: null };

t.test('nftables: conditions in their JSON', async t => {
  const cases: [string, unknown[], boolean | undefined][] = [
    ['saddr in a prefix', [match(header('ip', 'saddr'), prefix('10.244.0.0', 16))], true],
    ['saddr outside', [match(header('ip', 'saddr'), prefix('10.244.0.0', 16), '!=')], false],
    ['a header of the other family', [match(header('ip6', 'saddr'), prefix('fd00::', 8), '!=')], false],
    [
      'a set of addresses',
      [match(header('ip', 'saddr'), { set: ['10.0.0.1', prefix('10.244.1.0', 24)] })],
      true,
    ],
    ['a range', [match(header('ip', 'saddr'), { range: ['10.244.0.1', '10.244.9.9'] })], true],
    ['a named set', [match(header('ip', 'saddr'), '@here')], true],
    ['a named set, not in it', [match(header('ip', 'daddr'), '@here')], false],
    ['an unknown set', [match(header('ip', 'saddr'), '@elsewhere')], undefined],
    ['interface', [match(meta('iifname'), 'cni*')], true],
    ['another interface', [match(meta('oifname'), { set: ['eth0', 'eth1'] })], false],
    [
      'two interfaces',
      [match({ concat: [meta('iifname'), meta('oifname')] }, { set: [{ concat: ['cni0', 'flannel.1'] }] })],
      true,
    ],
    ['state', [match({ ct: { key: 'state' } }, { set: ['established', 'related'] })], false],
    ['state in a list', [match({ ct: { key: 'state' } }, ['new', 'untracked'], 'in')], true],
    ['status', [match({ ct: { key: 'status' } }, 'dnat', 'in')], false],
    ['masked mark', [match({ '&': [meta('mark'), 16384] }, 16384)], false],
    ['protocols', [match(meta('l4proto'), { set: ['tcp', 'udp'] })], true],
    ['protocol of the header', [match(header('ip', 'protocol'), 'icmp')], false],
    ['a port of another protocol', [match(header('udp', 'dport'), 53, '!=')], false],
    ['a port that is not known', [match(header('tcp', 'dport'), 53)], undefined],
    ['family', [match(meta('nfproto'), 'ipv4')], true],
    ['a rate', [{ limit: { rate: 3, per: 'second' } }], undefined],
    ['fib', [match({ fib: { result: 'type', flags: ['daddr'] } }, 'local')], undefined],
    ['a rule of iptables-nft', [{ xt: { type: 'match', name: 'set' } }], undefined],
    ['a comment and a counter', [{ counter: { packets: 0, bytes: 0 } }], true],
  ];
  const set = { set: { family: 'inet', table: 'filter', name: 'here', elem: [prefix('10.244.1.0', 24)] } };
  for (const [name, expr, expected] of cases) {
    const found = drops(readNftTables(nft('accept', [[...expr, DROP]], [set])));
    t.equal(found.length, expected === false ? 0 : 1, `${name}: ${found}`);
    if (found[0]) t.match(found[0], expected ? /^certain: / : /^if: /, name);
  }
});

t.test('nftables: chains, maps, policies, and what is left out', async t => {
  const chain = { chain: { family: 'inet', table: 'filter', name: 'pods' } };
  const inPods = (expr: unknown[]) => ({ rule: { family: 'inet', table: 'filter', chain: 'pods', expr } });
  const jump = [match(meta('iifname'), 'cni0'), { jump: { target: 'pods' } }];
  t.same(drops(readNftTables(nft('drop', [jump], [chain, inPods([ACCEPT])]))), []);
  t.same(drops(readNftTables(nft('drop', [jump], [chain, inPods([{ return: null }, ACCEPT])]))), [
    'certain: policy drop',
  ]);
  const reject = [{ reject: { type: 'icmpx', expr: 'admin-prohibited' } }];
  t.same(drops(readNftTables(nft('accept', [reject]))), ['certain: reject with icmpx admin-prohibited']);
  const vmap = (verdict: unknown) => [
    {
      vmap: {
        key: meta('iifname'),
        data: {
          set: [
            ['eth0', DROP],
            ['cni0', verdict],
          ],
        },
      },
    },
  ];
  t.same(drops(readNftTables(nft('drop', [vmap(ACCEPT)]))), []);
  t.same(drops(readNftTables(nft('accept', [vmap(DROP)]))), [
    'certain: iifname vmap { eth0 : drop, cni0 : drop }',
  ]);
  const map = { map: { family: 'inet', table: 'filter', name: 'ways', elem: [['cni0', ACCEPT]] } };
  t.same(
    drops(readNftTables(nft('drop', [[{ vmap: { key: meta('iifname'), data: '@ways' } }]], [map]))),
    [],
    'a named map',
  );
  t.same(drops(readNftTables(nft('drop', []), () => true)), [], 'a table that is read otherwise');
  const bridge = nft('drop', []).map(object =>
    JSON.parse(JSON.stringify(object).replaceAll('inet', 'bridge')),
  );
  t.same(drops(readNftTables(bridge)), [], 'bridged packets are not routed');
  const six = nft('drop', []).map(object => JSON.parse(JSON.stringify(object).replaceAll('inet', 'ip6')));
  t.same(drops(readNftTables(six)), [], 'the other family');
  t.same(
    drops([...readNftTables(nft('accept', [[ACCEPT]])), iptables(CLOSED)]),
    ['certain: policy drop'],
    'an accept of one table does not keep another from dropping',
  );
});
