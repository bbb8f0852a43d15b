import { existsSync, readdirSync } from 'node:fs';
import t, { type Test } from 'tap';
import { ALL_VERSIONS, isAtLeast } from '../../../src/cni/skel/version.ts';
import { attempt } from '../../../src/lab/command.ts';
import { CniNode } from '../../fixtures/cni/cni.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

const skip = skipUnless('root', 'netns', 'ip', 'nft');
const filtering =
  skip ||
  (attempt(['unshare', '--net', 'ip', 'link', 'add', 'b0', 'type', 'bridge', 'vlan_filtering', '1']).code !==
    0 &&
    'missing here: VLAN filtering of bridges in the kernel (CONFIG_BRIDGE_VLAN_FILTERING)');
const dual = {
  ranges: [[{ subnet: '10.1.0.0/24' }], [{ subnet: 'fd00:1::/64' }]],
  routes: [{ dst: '10.9.0.0/16' }],
};

/** A node, and a way to put further pods on its bridge without addresses. */
function layer2(t: Test) {
  const lab = new CniNode(t);
  const add = async (changes: object, id: string) => {
    const pod = lab.pod(t);
    const config = { cniVersion: '1.1.0', name: 'net', type: 'bridge', ...changes };
    const { json } = await lab.call('ADD', config, { pod, id });
    t.notOk(json.code, JSON.stringify(json));
    return { pod, port: json.interfaces[1].name as string, json };
  };
  return { lab, add };
}

/** Address files of a network, without the two of bookkeeping. */
function held(node: CniNode, network: string): string[] {
  const directory = `${node.scratch}/networks/${network}`;
  return existsSync(directory) ? readdirSync(directory).filter(name => /^(\d+\.|fd00)/.test(name)) : [];
}

t.test('the life of a pod in every version', { skip }, async t => {
  const lab = new CniNode(t);
  for (const version of ALL_VERSIONS) {
    await t.test(version, async t => {
      const pod = lab.pod(t);
      const config = {
        cniVersion: version,
        name: 'net',
        type: 'bridge',
        isDefaultGateway: true,
        ipMasq: true,
        macspoofchk: true,
        mtu: 1400,
        ipam: lab.ipam(dual),
      };
      const add = await lab.call('ADD', config, { pod });
      t.equal(add.status, 0, add.text);
      const address = isAtLeast(version, '0.3.0') ? add.json.ips[0].address : add.json.ip4.ip;
      if (isAtLeast(version, '0.3.0')) {
        const [bridge, node, inside] = add.json.interfaces;
        t.equal(bridge.name, 'cni0');
        t.match(node.name, /^veth[0-9a-f]{8}$/);
        t.match(inside, { name: 'eth0', sandbox: pod.path, ...(version === '1.1.0' ? { mtu: 1400 } : {}) });
        t.strictSame(
          add.json.ips.map((one: { interface: number }) => one.interface),
          [2, 2],
        );
        t.match(pod.ip('link show eth0'), inside.mac);
      }
      pod.must(['ping', '-c1', '-W10', '10.1.0.1']);
      pod.must(['ping', '-6', '-c1', '-W10', 'fd00:1::1']);
      t.match(
        pod.ip('route show'),
        /default via 10\.1\.0\.1 .*\n10\.1\.0\.0\/24 .*\n10\.9\.0\.0\/16 via 10\.1\.0\.1/,
      );
      t.match(pod.must(['ip', '-6', 'route', 'show', 'default']), /default via fd00:1::1/);
      t.match(pod.ip('link show eth0'), /mtu 1400/);
      t.match(
        lab.node.must(['nft', 'list', 'table', 'inet', 'cni_plugins_masquerade']),
        `saddr ${address.split('/')[0]} `,
      );

      const again = await lab.call('ADD', config, { pod });
      t.match(again.json, { code: 999, msg: /"eth0" already exists/ });
      pod.must(['ping', '-c1', '-W10', '10.1.0.1'], '');
      const withPrevious = { ...config, prevResult: add.json };
      if (isAtLeast(version, '0.4.0')) {
        t.equal((await lab.call('CHECK', withPrevious, { pod })).text, '');
      }
      for (let round = 0; round < 2; round++) {
        t.equal((await lab.call('DEL', withPrevious, { pod })).text, '', `DEL ${round + 1}`);
      }
      t.notMatch(pod.ip('link show'), /eth0/);
      t.notMatch(lab.node.ip('link show'), /veth/);
      t.strictSame(held(lab, 'net'), []);
      t.notMatch(lab.node.must(['nft', 'list', 'ruleset']), address.split('/')[0]);
      t.notMatch(lab.node.must(['nft', 'list', 'table', 'bridge', 'nat']), /veth|cni-br/);
      if (version === '1.1.0') t.equal((await lab.call('STATUS', config)).text, '');
    });
  }
  const mac = /link\/ether (\S+)/.exec(lab.node.ip('link show cni0'))![1];
  t.ok(mac, 'the bridge stays');
});

t.test('CHECK notices what changed', { skip }, async t => {
  const lab = new CniNode(t);
  const pod = lab.pod(t);
  const config = {
    cniVersion: '1.1.0',
    name: 'net',
    type: 'bridge',
    isDefaultGateway: true,
    ipMasq: true,
    macspoofchk: true,
    ipam: lab.ipam(),
  };
  const { json: prevResult } = await lab.call('ADD', config, { pod });
  const check = async () => (await lab.call('CHECK', { ...config, prevResult }, { pod })).json?.msg;
  const port = prevResult.interfaces[1].name;
  t.equal(await check(), undefined);
  const damages: [string, () => void, () => void, RegExp][] = [
    [
      'route gone',
      () => pod.ip('route del default'),
      () => pod.ip('route add default via 10.1.0.1'),
      /Expected Route 0\.0\.0\.0\/0 via 10\.1\.0\.1 not found/,
    ],
    [
      'off the bridge',
      () => lab.node.ip(`link set ${port} nomaster`),
      () => lab.node.ip(`link set ${port} master cni0`),
      /is not on cni0/,
    ],
    [
      'link down',
      () => pod.ip('link set eth0 down'),
      () => pod.ip('link set eth0 up', 'route add default via 10.1.0.1'),
      /Interface eth0 is down/,
    ],
    [
      'address gone',
      () => pod.ip('addr del 10.1.0.2/24 dev eth0'),
      () => pod.ip('addr add 10.1.0.2/24 dev eth0', 'route add default via 10.1.0.1'),
      /Failed to match expected IP 10\.1\.0\.2\/24/,
    ],
    [
      'masquerading gone',
      () => lab.node.must(['nft', 'flush', 'chain', 'inet', 'cni_plugins_masquerade', 'masq_checks']),
      () => {},
      /masquerading of 10\.1\.0\.2\/24 is missing/,
    ],
  ];
  for (const [what, damage, repair, message] of damages) {
    damage();
    t.match(await check(), message, what);
    repair();
  }
  pod.ip('link set eth0 address 02:00:00:00:00:99');
  t.match(await check(), /Mac .* doesn't match/);
  pod.ip('link del eth0');
  t.match(await check(), /Interface eth0 is missing/);
});

t.test('what a failed ADD leaves: nothing', { skip }, async t => {
  const lab = new CniNode(t);
  const pod = lab.pod(t);
  const base = { cniVersion: '1.1.0', name: 'net', type: 'bridge', isGateway: true };
  lab.node.ip('link add br9 type bridge', 'addr add 10.1.0.77/24 dev br9');
  lab.node.ip('link add notbridge type veth peer name other');
  const cases: [object, number, RegExp][] = [
    [
      { ipam: lab.ipam(), bridge: 'br9' },
      999,
      /"br9" already has an IP address different from 10\.1\.0\.1\/24/,
    ],
    [{ ipam: lab.ipam(), bridge: 'notbridge' }, 999, /already exists but is not a bridge/],
    [
      { ipam: lab.ipam({ subnet: '10.1.0.0/24', gateway: '10.2.0.1' }) },
      7,
      /gateway 10\.2\.0\.1 is outside the subnet/,
    ],
    [
      { ipam: lab.ipam({ subnet: '10.1.0.0/24', routes: [{ dst: '10.8.0.0/16', gw: '172.16.0.1' }] }) },
      999,
      /append route 10\.8\.0\.0\/16/,
    ],
    [{ ipam: { type: 'nowhere' } }, 999, /failed to find plugin "nowhere"/],
    [{ ipam: { type: '../bridge' } }, 7, /invalid plugin name/],
    [{ ipam: lab.ipam(), vlan: 4095 }, 7, /^invalid VLAN ID 4095 \(must be between 0 and 4094\)/],
    [
      { ipam: lab.ipam(), hairpinMode: true, promiscMode: true },
      7,
      /^cannot set hairpin mode and promiscuous mode at the same time/,
    ],
    [
      { ipam: lab.ipam(), disableContainerInterface: true },
      7,
      /^cannot use IPAM when DisableContainerInterface/,
    ],
    [{ ipam: lab.ipam(), bridge: 'a/b' }, 7, /^bridge: /],
    [{ ipam: lab.ipam(), mtu: -5 }, 7, /^mtu: -5 is not a whole number within 0\.\.65535/],
    [
      { ipam: lab.ipam(), vlanTrunk: [{ minID: 5 }] },
      7,
      /^minID and maxID should be configured simultaneously, maxID/,
    ],
    [{ vlanTrunk: [{ minID: 5, maxID: 4 }] }, 7, /^minID is greater than maxID in trunk parameter/],
    [{ vlanTrunk: [{ minID: 0, maxID: 4 }] }, 7, /^incorrect trunk minID parameter/],
    [{ vlanTrunk: [{ id: 0 }] }, 7, /^incorrect trunk id parameter/],
    [{ ipam: lab.ipam(), isGateway: 'yes' }, 7, /^isGateway: "yes" is not true or false/],
  ];
  for (const [changes, code, msg] of cases) {
    const { json } = await lab.call('ADD', { ...base, ...changes }, { pod });
    t.match(json, { code, msg }, String(msg));
  }
  t.notMatch(pod.ip('link show'), /eth0/);
  t.notMatch(lab.node.ip('link show'), /veth[0-9a-f]{8}/);
  t.strictSame(held(lab, 'net'), []);
  const forced = { ...base, bridge: 'br9', forceAddress: true, ipam: lab.ipam() };
  const { status, text } = await lab.call('ADD', forced, { pod });
  t.equal(status, 0, `forceAddress replaces it: ${text}`);
  t.notMatch(lab.node.ip('addr show br9'), /10\.1\.0\.77/);
  const bad = await lab.call('ADD', { ...base, ipam: lab.ipam() }, { pod: '/etc/hostname', id: 'x' });
  t.match(bad.json, { code: 4, msg: /CNI_NETNS/ });
  const own = await lab.call('ADD', { ...base, ipam: lab.ipam() }, { pod: lab.node, id: 'x' });
  t.match(own.json, { code: 8 });
});

t.test('the namespace is gone at DEL: addresses, rules and links go all the same', { skip }, async t => {
  const lab = new CniNode(t);
  const config = {
    cniVersion: '1.1.0',
    name: 'net',
    type: 'bridge',
    isGateway: true,
    ipMasq: true,
    macspoofchk: true,
    ipam: lab.ipam(),
  };
  const ways: [string, (pod: { path: string; remove(): void }) => string | undefined][] = [
    ['no CNI_NETNS', () => undefined],
    ['a path that leads nowhere', () => '/run/netns/gone'],
    ['a path that is no namespace any more', () => '/etc/hostname'],
  ];
  for (const [what, netnsAfter] of ways) {
    const pod = lab.pod(t);
    t.equal((await lab.call('ADD', config, { pod })).status, 0, what);
    t.equal((await lab.call('DEL', config, { pod: netnsAfter(pod) })).text, '');
    t.strictSame(held(lab, 'net'), []);
    t.notMatch(lab.node.must(['nft', 'list', 'ruleset']), /comment|cni-br/);
    t.notMatch(lab.node.ip('link show'), /veth/, 'the pair goes by the alias of its end here');
  }
});

t.test('GC takes what no living attachment owns', { skip }, async t => {
  const lab = new CniNode(t);
  const config = {
    cniVersion: '1.1.0',
    name: 'net',
    type: 'bridge',
    isGateway: true,
    ipMasq: true,
    macspoofchk: true,
    ipam: lab.ipam(),
  };
  const other = { ...config, name: 'other', bridge: 'cni9', ipam: lab.ipam({ subnet: '10.2.0.0/24' }) };
  const pods = [lab.pod(t), lab.pod(t), lab.pod(t)];
  await lab.call('ADD', config, { pod: pods[0], id: 'a' });
  await lab.call('ADD', config, { pod: pods[1], id: 'b' });
  await lab.call('ADD', other, { pod: pods[2], id: 'c' });
  const gc = await lab.call('GC', {
    ...config,
    'cni.dev/valid-attachments': [{ containerID: 'b', ifname: 'eth0' }],
  });
  t.equal(gc.text, '');
  t.strictSame(held(lab, 'net'), ['10.1.0.3']);
  t.strictSame(held(lab, 'other'), ['10.2.0.2'], 'another network is not looked at');
  const rules = lab.node.must(['nft', 'list', 'ruleset']);
  t.notMatch(rules, /10\.1\.0\.2 |cni-br-iface-a-/);
  t.match(rules, /ip saddr 10\.1\.0\.3 .*masquerade/);
  t.match(rules, /ip saddr 10\.2\.0\.2 .*masquerade/);
  for (const id of ['b', 'c']) t.match(rules, `chain cni-br-iface-${id}-eth0-mac`);
  t.notMatch(pods[0]!.ip('link show'), /eth0/);
  pods[1]!.must(['ping', '-c1', '-W10', '10.1.0.1']);
  pods[2]!.must(['ping', '-c1', '-W10', '10.2.0.1']);
});

t.test('layer 2: VLANs and trunks', { skip: filtering }, async t => {
  const { lab, add } = layer2(t);
  const vlansOf = (port: string) => {
    const [entry] = JSON.parse(lab.node.must(['bridge', '-j', 'vlan', 'show', 'dev', port]));
    return (entry?.vlans ?? []).map((one: { vlan: number; vlanEnd?: number; flags?: string[] }) =>
      [one.vlan, one.vlanEnd, ...(one.flags ?? [])].filter(Boolean).join(' '),
    );
  };
  const native = '1 PVID Egress Untagged';
  const access = '100 PVID Egress Untagged';
  const keep = { preserveDefaultVlan: true };
  const isolated = await add({ vlan: 100 }, 'v');
  t.strictSame(vlansOf(isolated.port), [access], 'by default no other VLAN');
  t.strictSame(vlansOf((await add({ ...keep, vlan: 100 }, 'vp')).port), ['1 Egress Untagged', access]);
  const trunk = [{ id: 101 }, { minID: 200, maxID: 202 }];
  const tagged = ['101', '200', '201', '202'];
  t.strictSame(vlansOf((await add({ vlanTrunk: trunk }, 't')).port), [native, ...tagged]);
  t.strictSame(vlansOf((await add({ ...keep, vlanTrunk: trunk }, 'tp')).port), [native, ...tagged]);
  t.strictSame(vlansOf((await add({ vlan: 100, vlanTrunk: trunk }, 'tv')).port), [access, ...tagged]);
  const throughOne = await add({ vlanTrunk: [{ minID: 1, maxID: 2 }] }, 't1');
  t.strictSame(vlansOf(throughOne.port), [native, '2'], 'what the pod sends without a tag is in VLAN 1');

  const plain = await add({}, 'plain');
  isolated.pod.ip('addr add 10.5.0.1/24 dev eth0');
  plain.pod.ip('addr add 10.5.0.2/24 dev eth0');
  plain.pod.attempt(['ping', '-c1', '-W1', '10.5.0.1']);
  t.notMatch(isolated.pod.ip('neigh'), /10\.5\.0\.2/, 'no question of VLAN 1 arrives in VLAN 100');

  lab.node.ip('link add b5 type bridge vlan_filtering 1 vlan_default_pvid 5', 'link set b5 up');
  t.strictSame(vlansOf((await add({ bridge: 'b5', vlan: 100 }, 'v5')).port), [access]);
  const filters = (name: string) =>
    JSON.parse(lab.node.must(['ip', '-j', '-d', 'link', 'show', name]))[0].linkinfo.info_data.vlan_filtering;
  await add({ bridge: 'empty', vlanTrunk: [] }, 'empty');
  t.equal(filters('empty'), 1, 'an empty trunk asks for filtering, as in the reference plugin');
  const gateway = await add({ vlan: 7, isGateway: true, bridge: 'brv', ipam: lab.ipam() }, 'g');
  t.equal(gateway.json.interfaces[3].name, 'brv.7');
  gateway.pod.must(['ping', '-c1', '-W10', '10.1.0.1']);
});

t.test('the bridge of another program keeps its MAC address when pods come', { skip }, async t => {
  const lab = new CniNode(t);
  const macOf = () => /link\/ether (\S+)/.exec(lab.node.ip('link show br0'))![1];
  const networks = {
    one: { isGateway: true, ipam: lab.ipam() },
    two: { isDefaultGateway: true, ipam: lab.ipam(dual) },
  };
  // The address of a bridge follows the lowest one of its ports: without a port the first pod would change it.
  const port = [
    'link add x0 type veth peer name x1',
    'link set x0 address 7e:00:00:00:00:01',
    'link set x0 master br0',
  ];
  for (const [name, changes] of Object.entries(networks))
    for (const [at, ports] of [[], port, ['addr add 10.1.0.1/24 dev br0']].entries()) {
      lab.node.ip('link add br0 type bridge', 'link set br0 up', ...ports);
      const before = macOf();
      for (const [id, mac] of Object.entries({ a: '02:00:00:00:00:02', b: '02:00:00:00:00:01' })) {
        const config = { cniVersion: '1.1.0', name, type: 'bridge', bridge: 'br0', ...changes };
        const call = { pod: lab.pod(t), id: `${id}${at}` };
        const { json } = await lab.call('ADD', { ...config, runtimeConfig: { mac } }, call);
        lab.node.ip(`link set ${json.interfaces[1].name} address ${mac}`);
        t.equal(macOf(), before, call.id);
        t.equal(json.interfaces[0].mac, before);
      }
      lab.node.ip('link del br0', ...(ports === port ? ['link del x0'] : []));
    }
});

t.test('layer 2: isolation, hairpin, promiscuous, interface left down', { skip }, async t => {
  const { lab, add } = layer2(t);
  const plain = await add({}, 'plain');
  t.strictSame(plain.json.ips, undefined);
  t.match(plain.pod.ip('link show eth0'), /state UP/);
  const details = (port: string) => JSON.parse(lab.node.must(['ip', '-j', '-d', 'link', 'show', port]))[0];
  t.match(details((await add({ portIsolation: true }, 'i')).port).linkinfo.info_slave_data, {
    isolated: true,
  });
  t.match(details((await add({ hairpinMode: true }, 'h')).port).linkinfo.info_slave_data, { hairpin: true });
  await add({ promiscMode: true }, 'p');
  t.match(lab.node.ip('link show cni0'), /PROMISC/);
  t.match(lab.node.ip(`link show ${plain.port}`), /state UP/, 'ADD has waited for the port');
  const down = await add({ disableContainerInterface: true, bridge: 'brd' }, 'd');
  t.match(down.pod.ip('link show eth0'), /state DOWN/);
  t.match(lab.node.ip('addr show brd'), /inet6 fe80:/, 'the bridge has its address before a port is up');
  lab.node.ip('link add x0 type veth peer name x1', 'link set x0 address 00:00:00:00:00:01');
  const macOf = () => details('brd').address;
  const before = macOf();
  lab.node.ip('link set x0 master brd');
  t.equal(macOf(), before, 'its MAC address does not follow its ports');
});

t.test('MAC from three sources, and what is wrong with one', { skip }, async t => {
  const lab = new CniNode(t);
  const base = { cniVersion: '1.1.0', name: 'net', type: 'bridge' };
  const add = async (changes: object, id: string, args = '') => {
    const { json } = await lab.call('ADD', { ...base, ...changes }, { pod: lab.pod(t), id, args });
    return json.interfaces?.[2].mac ?? json.msg;
  };
  const args = 'MAC=02:00:00:00:00:01';
  const cni = { args: { cni: { mac: '02:00:00:00:00:02' } } };
  const runtime = { runtimeConfig: { mac: '02:00:00:00:00:03' } };
  t.equal(await add({}, 'a', args), '02:00:00:00:00:01');
  t.equal(await add(cni, 'b', args), '02:00:00:00:00:02');
  t.equal(await add({ ...cni, ...runtime }, 'c', args), '02:00:00:00:00:03');
  t.match(await add({ runtimeConfig: { mac: 'x' } }, 'd'), /^runtimeConfig\.mac: "x" is not a MAC address/);
});

t.test('the guard drops a frame with a foreign MAC address', { skip }, async t => {
  const lab = new CniNode(t);
  const pod = lab.pod(t);
  const config = {
    cniVersion: '1.1.0',
    name: 'net',
    type: 'bridge',
    isGateway: true,
    macspoofchk: true,
    ipam: lab.ipam(),
  };
  t.equal((await lab.call('ADD', config, { pod })).status, 0);
  pod.must(['ping', '-c1', '-W10', '10.1.0.1']);
  pod.ip('link set eth0 address 02:00:00:00:00:99');
  t.not(pod.attempt(['ping', '-c1', '-W1', '10.1.0.1']).code, 0);
});

t.test(
  'iptables as the backend: the reference rules, taken away by name',
  { skip: skipUnless('root', 'netns', 'iptables') },
  async t => {
    const lab = new CniNode(t);
    const config = {
      cniVersion: '1.1.0',
      name: 'net',
      type: 'bridge',
      isGateway: true,
      ipMasq: true,
      ipMasqBackend: 'iptables',
      ipam: lab.ipam(dual),
    };
    const pod = lab.pod(t);
    const { json: prevResult } = await lab.call('ADD', config, { pod });
    const rules = () =>
      lab.node.must(['iptables-save', '-t', 'nat']) + lab.node.must(['ip6tables-save', '-t', 'nat']);
    t.match(
      rules(),
      /-A POSTROUTING -s 10\.1\.0\.2\/32 -m comment --comment "name: \\"net\\" id: \\"c1\\"" -j CNI-[0-9a-f]{24}/,
    );
    t.match(rules(), /-A CNI-[0-9a-f]{24} ! -d 224\.0\.0\.0\/4 .*-j MASQUERADE/);
    t.match(rules(), /-s fd00:1::2\/128/);
    t.equal((await lab.call('CHECK', { ...config, prevResult }, { pod })).text, '');
    lab.node.must(['iptables', '-t', 'nat', '-F', 'POSTROUTING']);
    t.match((await lab.call('CHECK', { ...config, prevResult }, { pod })).json, {
      msg: /masquerading .* is missing in nftables and in iptables/,
    });
    t.equal((await lab.call('DEL', config, {})).text, '', 'without a namespace');
    t.notMatch(rules(), /fd00/);
    const second = lab.pod(t);
    await lab.call('ADD', config, { pod: second, id: 'c2' });
    t.equal((await lab.call('GC', { ...config, 'cni.dev/valid-attachments': [] })).text, '');
    t.notMatch(rules(), /-A CNI-|-j CNI-/);
  },
);

t.test('twenty pods at once: no address twice, no rule lost', { skip }, async t => {
  const lab = new CniNode(t);
  const config = {
    cniVersion: '1.1.0',
    name: 'net',
    type: 'bridge',
    isGateway: true,
    ipMasq: true,
    ipam: lab.ipam(),
  };
  const pods = Array.from({ length: 20 }, () => lab.pod(t));
  const answers = await Promise.all(pods.map((pod, i) => lab.call('ADD', config, { pod, id: `c${i}` })));
  const given = answers.map(answer => answer.json.ips?.[0].address ?? answer.text);
  t.equal(new Set(given).size, 20, given.join(' '));
  const rules = lab.node.must(['nft', 'list', 'chain', 'inet', 'cni_plugins_masquerade', 'masq_checks']);
  for (const address of given)
    t.match(rules, `ip saddr ${address.split('/')[0]} ip daddr != 10.1.0.0/24 masquerade`);
  t.equal(
    lab.node.must(['nft', 'list', 'chain', 'inet', 'cni_plugins_masquerade', 'postrouting']).match(/goto/g)
      ?.length,
    1,
  );
  await Promise.all(pods.map((pod, i) => lab.call('DEL', config, { pod, id: `c${i}` })));
  t.strictSame(held(lab, 'net'), []);
  t.notMatch(lab.node.must(['nft', 'list', 'ruleset']), /comment/);
});
