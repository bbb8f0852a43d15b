import t from 'tap';
import { isNetError } from '../../../src/net/error.ts';
import { Fib, type RoutedPacket } from '../../../src/net/fib.ts';
import type { Route } from '../../../src/net/rtnetlink/routes.ts';
import type { Rule } from '../../../src/net/rtnetlink/rules.ts';

function route(destination: string, link: number, more: Partial<Route> = {}): Route {
  return {
    ...{
      family: destination.includes(':') ? 6 : 4,
      destination,
      link,
      gateway: undefined,
      source: undefined,
    },
    ...{ metric: 0, table: 254, protocol: 3, scope: 0, type: 'unicast', onlink: false, mtu: undefined },
    ...{ hopLimit: undefined, advmss: undefined, hops: undefined, ...more },
  };
}

function rule(priority: number, table: number, more: Partial<Rule> = {}): Rule {
  return {
    ...{ family: 4, source: undefined, table, priority, action: 1, from: undefined, to: undefined },
    ...{
      input: undefined,
      mark: 0,
      mask: 0,
      inverted: false,
      suppressed: undefined,
      hasMore: false,
      ...more,
    },
  };
}

const DEFAULT_RULES = [rule(0, 255), rule(32766, 254), rule(32767, 253)];

/** The link of the route, or the errno name of the refusal; with what the tables do not decide. */
function chosen(routes: Route[], packet: RoutedPacket, rules: Rule[] = DEFAULT_RULES) {
  const doubts: string[] = [];
  try {
    return { link: new Fib(routes, rules).lookUp(packet, text => doubts.push(text)).link, doubts };
  } catch (error) {
    if (!isNetError(error)) throw error;
    return { link: error.code, doubts };
  }
}

t.test('of several routes the longest prefix, then the lowest metric holds', async t => {
  const routes = [
    route('0.0.0.0/0', 1),
    route('10.0.0.0/8', 2, { metric: 100 }),
    route('10.0.0.0/8', 3, { metric: 50 }),
    route('10.1.0.0/16', 4),
    route('10.1.2.0/24', 0, { type: 'blackhole' }),
    route('10.1.3.0/24', 0, { type: 'unreachable' }),
    route('10.1.4.0/24', 0, { type: 'prohibit' }),
    route('10.1.5.0/24', 0, { type: 'throw' }),
    route('fd00::/8', 9),
  ];
  const rules = [...DEFAULT_RULES, rule(0, 254, { family: 6 })];
  const of = (destination: string) => chosen(routes, { destination }, rules).link;
  t.equal(of('192.0.2.1'), 1);
  t.equal(of('10.9.9.9'), 3);
  t.equal(of('10.1.9.9'), 4);
  t.equal(of('10.1.2.1'), 'EINVAL');
  t.equal(of('10.1.3.1'), 'EHOSTUNREACH');
  t.equal(of('10.1.4.1'), 'EACCES');
  t.equal(of('10.1.5.1'), 'ENETUNREACH', 'no other rule has a route');
  t.equal(of('fd00::1'), 9);
  t.equal(of('2001:db8::1'), 'ENETUNREACH');
});

t.test('each condition of a rule, fulfilled or not, chooses the table', async t => {
  const routes = [route('0.0.0.0/0', 1), route('0.0.0.0/0', 2, { table: 100 })];
  const packet = { destination: '10.1.1.1', source: '10.2.2.2', input: 'cni0' };
  const by = (more: Partial<Rule>, given: RoutedPacket = packet) =>
    chosen(routes, given, [rule(10, 100, more), rule(20, 254)]).link;
  t.equal(by({ from: '10.2.0.0/16' }), 2);
  t.equal(by({ from: '10.3.0.0/16' }), 1);
  t.equal(by({ from: '10.2.0.0/16' }, { destination: '10.1.1.1' }), 1, 'no source is chosen yet');
  t.equal(by({ to: '10.1.0.0/16' }), 2);
  t.equal(by({ to: '10.9.0.0/16' }), 1);
  t.equal(by({ to: '10.9.0.0/16', inverted: true }), 2);
  t.equal(by({ input: 'cni0' }), 2);
  t.equal(by({ input: 'lo' }), 1);
  t.equal(by({ input: 'lo' }, { destination: '10.1.1.1' }), 2);
  t.equal(by({ mark: 1, mask: 1 }), 1, 'the packet has no mark');
  t.equal(by({ mark: 0, mask: 1 }), 2);
  t.equal(by({ suppressed: 0 }), 1, 'the default route of the table is passed over');
  t.equal(by({ action: 6 }), 'EINVAL');
  t.equal(by({ action: 7 }), 'ENETUNREACH');
  t.equal(by({ action: 8 }), 'EACCES');
});

t.test('what the tables do not decide is said', async t => {
  const hops = [{ link: 5, gateway: '192.0.2.1' }, { link: 6 }];
  const several = chosen([route('0.0.0.0/0', 0, { hops })], { destination: '10.1.1.1' });
  t.match(several, { link: 5, doubts: [/several next hops/] });
  const more = chosen([route('0.0.0.0/0', 1)], { destination: '10.1.1.1' }, [
    rule(10, 100, { hasMore: true }),
    rule(20, 254),
  ]);
  t.match(more, { link: 1, doubts: [/rule 10 has conditions/] });
});
