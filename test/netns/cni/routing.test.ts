import t, { type Test } from 'tap';
import { attempt } from '../../../src/lab/command.ts';
import { CniNode } from '../../fixtures/cni/cni.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

/* sbr, vrf and dummy: which table the pod looks routes up in, and addresses without a wire. */

const skip = skipUnless('root', 'netns', 'ip');
const lacksVrf =
  skip ||
  (attempt(['unshare', '--net', 'sh', '-c', 'ip link add v0 type vrf table 9 && ip link add d0 type dummy'])
    .code !== 0 &&
    'missing here: kernel modules vrf and dummy');

const NETWORK = { cniVersion: '1.1.0', name: 'net' };
type Pod = ReturnType<CniNode['pod']>;

/** A pod with two addresses of each family on eth0, with routes, and the result that says so. */
function wired(t: Test, link: string) {
  const lab = new CniNode(t);
  const pod = lab.pod(t);
  pod.must(['sysctl', '-qw', 'net.ipv6.conf.default.accept_dad=0']);
  const addresses = ['10.1.0.2/24', '10.2.0.2/24', 'fd00:1::2/64'];
  pod.ip(
    `link add eth0 type ${link}`,
    ...addresses.map(one => `addr add ${one} dev eth0`),
    'link set eth0 up',
  );
  pod.ip(
    'route add default via 10.1.0.1',
    'route add 192.0.2.0/24 via 10.2.0.1 mtu 1300',
    'route add 198.51.100.0/24 dev eth0',
    'route add fd00:9::/64 via fd00:1::1 metric 77',
  );
  const prevResult = {
    cniVersion: '1.1.0',
    interfaces: [{ name: 'other' }, { name: 'eth0', sandbox: pod.path }],
    ips: [
      { address: '10.1.0.2/24', gateway: '10.1.0.1', interface: 1 },
      { address: '10.2.0.2/24', interface: 1 },
      { address: 'fd00:1::2/64', gateway: 'fd00:1::1' },
      { address: '10.3.0.2/24', interface: 0 },
    ],
  };
  return { lab, pod, prevResult };
}

const table = (pod: Pod, name: string | number, ...flags: string[]) =>
  pod
    .attempt(['ip', ...flags, 'route', 'show', 'table', String(name)])
    .stdout.split('\n')
    .map(line => line.trim().replace(/ (pref medium|linkdown)/g, ''))
    .filter(line => line !== '' && !/^(fe80|multicast|ff00)|^local|^anycast/.test(line))
    .sort();
const rules = (pod: Pod) =>
  ['-4', '-6'].flatMap(
    family => pod.must(['ip', family, 'rule']).match(/from [\d.a-f:]*[.:]\S* lookup \S+/g) ?? [],
  );

t.test('sbr: a rule and a table for each address, the main table without them', { skip }, async t => {
  const { lab, pod, prevResult } = wired(t, 'veth peer name far');
  pod.ip('link set far up');
  // 100 is in use by a rule, 101 by a route.
  pod.must(['ip', 'rule', 'add', 'from', '203.0.113.1', 'lookup', '100']);
  pod.ip('route add blackhole 203.0.113.0/24 table 101');
  const config = { ...NETWORK, type: 'sbr', prevResult };
  const before = { main: table(pod, 'main'), six: table(pod, 'main', '-6'), rules: rules(pod) };
  const { json, text } = await lab.call('ADD', config, { pod });
  t.match(json, prevResult, text);
  t.strictSame(rules(pod).sort(), [
    'from 10.1.0.2 lookup 102',
    'from 10.2.0.2 lookup 103',
    'from 203.0.113.1 lookup 100',
    'from fd00:1::2 lookup 104',
  ]);
  t.strictSame(table(pod, 102), [
    '10.1.0.0/24 dev eth0 proto kernel scope link src 10.1.0.2',
    '198.51.100.0/24 dev eth0 scope link',
    'default via 10.1.0.1 dev eth0',
  ]);
  t.strictSame(table(pod, 103), [
    '10.2.0.0/24 dev eth0 proto kernel scope link src 10.2.0.2',
    '192.0.2.0/24 via 10.2.0.1 dev eth0 mtu 1300',
    '198.51.100.0/24 dev eth0 scope link',
  ]);
  const six = table(pod, 104, '-6');
  t.match(six.join('\n'), /^default via fd00:1::1 dev eth0/m);
  t.match(six.join('\n'), /^fd00:1::\/64 dev eth0/m);
  t.match(six.join('\n'), /^fd00:9::\/64 via fd00:1::1 dev eth0 metric 77/m);
  t.strictSame(table(pod, 'main'), []);
  t.equal((await lab.call('CHECK', config, { pod })).text, '');
  pod.must(['ip', 'rule', 'del', 'from', '10.2.0.2']);
  t.match((await lab.call('CHECK', config, { pod })).json, {
    code: 999,
    msg: 'rule from 10.2.0.2 is missing',
  });
  for (let round = 0; round < 2; round++) t.equal((await lab.call('DEL', config, { pod })).text, '');
  t.strictSame(rules(pod), before.rules);
});

t.test('sbr: a failed ADD leaves rules and routes as they were', { skip }, async t => {
  const { lab, pod, prevResult } = wired(t, 'veth peer name far');
  pod.ip('link set far up');
  const before = [table(pod, 'main'), table(pod, 'main', '-6'), rules(pod)];
  const ips = [...prevResult.ips, { address: 'fd00:7::2/64', gateway: 'fd00:8::1', interface: 1 }];
  const config = { ...NETWORK, type: 'sbr', prevResult: { ...prevResult, ips } };
  t.match((await lab.call('ADD', config, { pod })).json, { code: 999, msg: /::\/0 via fd00:8::1/ });
  t.strictSame([table(pod, 'main'), table(pod, 'main', '-6'), rules(pod)], before);
});

t.test('sbr: a configured table gets rules only', { skip }, async t => {
  const { lab, pod, prevResult } = wired(t, 'veth peer name far');
  pod.ip('link set far up', 'route add default via 10.1.0.1 table 7000');
  const main = table(pod, 'main');
  pod.must(['ip', 'rule', 'add', 'from', '10.1.0.2', 'lookup', '9']);
  const config = { ...NETWORK, type: 'sbr', table: 7000, prevResult };
  t.equal((await lab.call('ADD', config, { pod })).status, 0);
  t.strictSame(rules(pod).sort(), [
    'from 10.1.0.2 lookup 7000',
    'from 10.1.0.2 lookup 9',
    'from 10.2.0.2 lookup 7000',
    'from fd00:1::2 lookup 7000',
  ]);
  t.strictSame(table(pod, 'main'), main);
  t.equal((await lab.call('CHECK', config, { pod })).text, '');
  t.equal((await lab.call('DEL', config, { pod })).text, '');
  t.strictSame(rules(pod), ['from 10.1.0.2 lookup 9'], 'rules of other tables stay');
  t.match((await lab.call('ADD', { ...config, prevResult: { ...prevResult, ips: [] } }, { pod })).json, {
    code: 999,
    msg: /^No IP addresses supplied on interface: eth0/,
  });
});

t.test('VRF and dummy: the life of a pod', { skip: lacksVrf }, async t => {
  const lab = new CniNode(t);
  const pod = lab.pod(t);
  pod.must(['sysctl', '-qw', 'net.ipv6.conf.default.accept_dad=0']);
  const ipam = {
    type: 'static',
    addresses: [{ address: '10.1.0.2/24' }, { address: 'fd00:1::2/64' }],
    routes: [
      { dst: '192.0.2.0/24', gw: '10.1.0.1' },
      { dst: 'fd00:9::/64', gw: 'fd00:1::1' },
    ],
    dns: { nameservers: ['10.0.0.9'] },
  };
  const dummy = { ...NETWORK, type: 'dummy', ipam };
  const refused = await lab.call('ADD', { ...dummy, ipam: {} }, { pod });
  t.match(refused.json, { code: 7, msg: /^dummy interface requires an IPAM configuration/ });
  const made = await lab.call('ADD', dummy, { pod });
  t.equal(made.status, 0, made.text);
  t.match(made.json, {
    interfaces: [{ name: 'eth0', sandbox: pod.path }],
    dns: { nameservers: ['10.0.0.9'] },
  });
  t.match(pod.must(['ip', '-d', 'link', 'show', 'eth0']), /UP[\s\S]*dummy/);
  t.equal((await lab.call('CHECK', { ...dummy, prevResult: made.json }, { pod })).text, '');

  const vrf = { ...NETWORK, type: 'vrf', vrfname: 'red', prevResult: made.json };
  const added = await lab.call('ADD', vrf, { pod });
  t.same(added.json, made.json, added.text);
  t.match(pod.must(['ip', '-d', 'link', 'show', 'red']), /UP[\s\S]*vrf table 1 /);
  t.match(table(pod, 1), ['10.1.0.0/24 dev eth0 proto kernel', '192.0.2.0/24 via 10.1.0.1 dev eth0']);
  t.match(
    table(pod, 1, '-6').join('\n'),
    /^fd00:1::\/64 dev eth0[\s\S]*^fd00:9::\/64 via fd00:1::1 dev eth0/m,
  );
  t.match(pod.ip('addr show eth0'), /master red[\s\S]*fd00:1::2\/64/);
  t.equal((await lab.call('CHECK', vrf, { pod })).text, '');
  const whole = { ...dummy, prevResult: made.json };
  t.equal((await lab.call('CHECK', whole, { pod })).text, '', 'its routes are in the VRF');
  t.match((await lab.call('ADD', vrf, { pod })).json, {
    msg: 'interface eth0 has already a master set: red',
  });
  t.match(pod.ip('link show'), /red/, 'the VRF was there before');

  // A second interface, by the table that the VRF has; then by one that it has not.
  const second = { ifname: 'net1', pod };
  const other = { ...dummy, ipam: { type: 'static', addresses: [{ address: '10.2.0.2/24' }] } };
  const next = await lab.call('ADD', other, second);
  const wrong = await lab.call('ADD', { ...vrf, table: 9, prevResult: next.json }, second);
  t.match(wrong.json, { code: 999, msg: 'VRF red already exist with different routing table 1' });
  t.equal((await lab.call('ADD', { ...vrf, table: 1, prevResult: next.json }, second)).status, 0);
  t.equal((await lab.call('DEL', vrf, { pod })).text, '');
  t.match(pod.ip('link show red'), /red/, 'it has a port yet');
  t.match((await lab.call('CHECK', vrf, { pod })).json, { msg: 'failed to find eth0 associated to vrf red' });
  for (let round = 0; round < 2; round++) t.equal((await lab.call('DEL', vrf, second)).text, '');
  t.notMatch(pod.ip('link show'), /red/);

  // Without keep_addr_on_down the kernel takes the IPv6 address away, and another VRF gets the next table.
  pod.must(['sysctl', '-qw', 'net.ipv6.conf.eth0.keep_addr_on_down=0']);
  pod.ip('link add blue type vrf table 1');
  t.equal((await lab.call('ADD', { ...vrf, vrfname: 'green' }, { pod })).status, 0);
  t.match(pod.must(['ip', '-d', 'link', 'show', 'green']), /vrf table 2 /);
  t.match(pod.ip('addr show eth0'), /fd00:1::2\/64/);
  t.match((await lab.call('ADD', { ...vrf, vrfname: 'net1' }, { pod })).json, {
    msg: /^Netlink net1 is not a VRF/,
  });
  t.equal((await lab.call('DEL', { ...vrf, vrfname: 'green' }, { pod })).text, '');
  for (const at of [{ pod }, second])
    for (let round = 0; round < 2; round++)
      t.equal((await lab.call('DEL', at === second ? other : dummy, at)).text, '');
  t.notMatch(pod.ip('link show'), /eth0|net1|green/);
});
