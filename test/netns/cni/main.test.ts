import t from 'tap';
import { ALL_VERSIONS, isAtLeast } from '../../../src/cni/skel/version.ts';
import { attempt } from '../../../src/lab/command.ts';
import { CniNode } from '../../fixtures/cni/cni.ts';
import { details, everyVersion } from '../../fixtures/cni/every-version.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

const skip = skipUnless('root', 'netns', 'ip', 'nft');
/** Whether this kernel makes links of a kind; else the reason for skipping. */
const kernelHas = (kind: string, module: string) =>
  skip ||
  (attempt([
    'unshare',
    '--net',
    'sh',
    '-c',
    `ip link add b0 type bridge && ip link add link b0 name x type ${kind}`,
  ]).code !== 0 &&
    `missing here: kernel module ${module}`);

t.test('loopback in every version', { skip }, async t => {
  const lab = new CniNode(t);
  const pod = lab.pod(t);
  for (const cniVersion of ALL_VERSIONS) {
    const config = { cniVersion, name: 'net', type: 'loopback' };
    pod.ip('link set lo down');
    const { json, status } = await lab.call('ADD', config, { pod });
    t.equal(status, 0);
    t.match(pod.ip('link show lo'), /<LOOPBACK,UP/);
    if (isAtLeast(cniVersion, '0.3.0')) {
      t.match(json, {
        interfaces: [{ name: 'lo', sandbox: pod.path }],
        ips: [{ address: '127.0.0.1/8' }, { address: '::1/128' }],
      });
    } else t.match(json, { ip4: { ip: '127.0.0.1/8' }, ip6: { ip: '::1/128' } });
    if (isAtLeast(cniVersion, '0.4.0')) t.equal((await lab.call('CHECK', config, { pod })).text, '');
    for (let round = 0; round < 2; round++) t.equal((await lab.call('DEL', config, { pod })).text, '');
    t.notMatch(pod.ip('link show lo'), /LOOPBACK,UP/);
    if (isAtLeast(cniVersion, '0.4.0')) {
      t.match((await lab.call('CHECK', config, { pod })).json, { msg: 'loopback interface is down' });
    }
    t.equal((await lab.call('DEL', config, {})).text, '', 'without a namespace');
  }
});

t.test('ptp in every version', { skip }, async t => {
  await everyVersion(t, { type: 'ptp', ipMasq: true, mtu: 1400 }, (lab, pod, answer) => {
    pod.must(['ping', '-c1', '-W10', '10.1.0.1']);
    pod.must(['ping', '-6', '-c1', '-W10', 'fd00:1::1']);
    t.match(pod.ip('route show'), /default via 10\.1\.0\.1 dev eth0/);
    t.match(pod.ip('route show'), /10\.1\.0\.0\/24 via 10\.1\.0\.1 dev eth0 src/);
    t.match(pod.ip('route show'), /10\.1\.0\.1 dev eth0 scope link src/);
    t.match(pod.ip('link show eth0'), /mtu 1400/);
    t.match(lab.node.must(['nft', 'list', 'ruleset']), /saddr 10\.1\.0\.\d+ .*masquerade comment/);
    if (answer.ips)
      t.strictSame(
        answer.ips.map(one => one.interface),
        [1, 1],
      );
  });
});

t.test('ptp: rules go without namespace and by GC, DNS, refusals', { skip }, async t => {
  const lab = new CniNode(t);
  const base = { cniVersion: '1.1.0', name: 'net', type: 'ptp', ipMasq: true, ipam: lab.ipam() };
  const rules = () => lab.node.must(['nft', 'list', 'ruleset']);
  await lab.call('ADD', base, { pod: lab.pod(t), id: 'a' });
  await lab.call('ADD', base, { pod: lab.pod(t), id: 'b' });
  t.equal((await lab.call('DEL', base, { id: 'a' })).text, '');
  t.notMatch(rules(), /10\.1\.0\.2 /);
  t.match(rules(), /saddr 10\.1\.0\.3 .*masquerade/);
  await lab.call('GC', { ...base, 'cni.dev/valid-attachments': [] });
  t.notMatch(rules(), /comment/);
  t.notMatch(lab.node.ip('link show'), /veth/);

  const resolver = {
    addresses: [{ address: '10.5.0.2/24', gateway: '10.5.0.1' }],
    dns: { nameservers: ['10.0.0.1'] },
  };
  const dnsOf = async (dns: object | undefined, id: string) => {
    const config = { ...base, ipam: { type: 'static', ...resolver }, ...(dns ? { dns } : {}) };
    const pod = lab.pod(t);
    const { json } = await lab.call('ADD', config, { pod, id });
    await lab.call('DEL', config, { pod, id });
    return json.dns;
  };
  t.strictSame(await dnsOf(undefined, 'd'), { nameservers: ['10.0.0.1'] }, "the address plugin's");
  t.strictSame(await dnsOf({}, 'e'), { nameservers: ['10.0.0.1'] });
  t.strictSame(await dnsOf({ search: ['x'] }, 'f'), { search: ['x'] }, "the network's");
  t.strictSame(await dnsOf({ nameservers: [] }, 'g'), {}, 'an empty list is an answer too');

  const bare = { ...base, ipam: { type: 'static', addresses: [{ address: '10.5.0.2/24' }] } };
  const pod = lab.pod(t);
  t.match((await lab.call('ADD', bare, { pod })).json, { code: 7, msg: /10\.5\.0\.2\/24 without a gateway/ });
  t.match((await lab.call('ADD', { ...base, ipam: {} }, { pod })).json, {
    code: 7,
    msg: 'ipam.type: is missing',
  });
  t.notMatch(pod.ip('link show'), /eth0/);
});

const uplink = (lab: CniNode) => {
  lab.node.ip('link add up0 type veth peer name up1', 'link set up0 up', 'link set up1 up');
};

t.test('macvlan in every version', { skip: kernelHas('macvlan', 'macvlan') }, async t => {
  const config = { type: 'macvlan', master: 'up0', mtu: 1400, dns: { nameservers: ['10.0.0.9'] } };
  await everyVersion(
    t,
    config,
    (_lab, pod, answer) => {
      t.match(details(pod), /mtu 1400[\s\S]*macvlan mode bridge/);
      t.match(pod.ip('addr show eth0'), /inet 10\.1\.0\.\d+\/24/);
      if (answer.ips)
        t.strictSame(
          answer.ips.map(one => one.interface),
          [0, 0],
        );
      t.match(answer, { dns: config.dns });
    },
    uplink,
  );
});

t.test(
  'macvlan: default master, modes, MAC, layer 2, master in the pod, refusals',
  { skip: kernelHas('macvlan', 'macvlan') },
  async t => {
    const lab = new CniNode(t);
    uplink(lab);
    const base = { cniVersion: '1.1.0', name: 'net', type: 'macvlan' };
    const add = async (changes: object, pod = lab.pod(t), args = '') => ({
      ...(await lab.call('ADD', { ...base, ...changes }, { pod, args })),
      pod,
    });
    t.match((await add({})).json, { code: 999, msg: /^no default route interface found/ });
    lab.node.ip('addr add 192.0.2.1/24 dev up0', 'route add default via 192.0.2.2');
    const layer2 = await add({});
    t.match(layer2.pod.ip('link show eth0'), /state (UP|LOWERLAYERDOWN|UNKNOWN)/);
    t.strictSame(layer2.json.ips, undefined);
    for (const mode of ['private', 'vepa']) t.match(details((await add({ mode })).pod), `mode ${mode}`);
    const mac = '02:00:00:00:00:05';
    t.equal((await add({ mac })).json.interfaces[0].mac, mac);
    t.equal((await add({}, lab.pod(t), `MAC=02:00:00:00:00:06`)).json.interfaces[0].mac, '02:00:00:00:00:06');
    t.equal(
      (await add({ mac, runtimeConfig: { mac: '02:00:00:00:00:07' } })).json.interfaces[0].mac,
      '02:00:00:00:00:07',
    );
    const inside = lab.pod(t);
    inside.ip('link add d0 type bridge', 'link set d0 up');
    t.equal((await add({ master: 'd0', linkInContainer: true }, inside)).status, 0);
    const refusals: [object, number, RegExp][] = [
      [{ master: 'nowhere' }, 999, /^failed to lookup master "nowhere"/],
      [{ mtu: 9000 }, 7, /^invalid MTU 9000, must be \[0, master MTU\(1500\)\]/],
      [{ mtu: -100 }, 7, /^invalid MTU -100, must be/],
      [{ mode: 'bridges' }, 7, /^mode: "bridges" is not one of/],
      [{ ipam: lab.ipam({ subnet: '10.1.0.0/24', gateway: '10.2.0.1' }) }, 7, /outside the subnet/],
    ];
    for (const [changes, code, msg] of refusals) {
      const { json, pod } = await add(changes);
      t.match(json, { code, msg });
      t.notMatch(pod.ip('link show'), /eth0/);
    }
    t.match((await lab.call('STATUS', { ...base, master: 'nowhere' })).json, { code: 50, msg: /nowhere/ });
  },
);

t.test('ipvlan in every version', { skip: kernelHas('ipvlan mode l2', 'ipvlan') }, async t => {
  await everyVersion(
    t,
    { type: 'ipvlan', master: 'up0', mode: 'l3' },
    (_lab, pod) => t.match(details(pod), /ipvlan {2}mode l3/),
    uplink,
  );
});

t.test('vlan in every version', { skip: kernelHas('vlan id 5', '8021q') }, async t => {
  await everyVersion(
    t,
    { type: 'vlan', master: 'up0', vlanId: 1234 },
    (_lab, pod) => t.match(details(pod), /vlan protocol 802\.1Q id 1234/),
    uplink,
  );
});

t.test(
  'macvlan: CHECK finds a route by the gateway of its own interface',
  { skip: kernelHas('macvlan', 'macvlan') },
  async t => {
    const lab = new CniNode(t);
    uplink(lab);
    const pod = lab.pod(t);
    const ipam = lab.ipam({
      ranges: [[{ subnet: '10.1.0.0/24' }], [{ subnet: 'fd00:1::/64' }]],
      routes: [{ dst: '192.0.2.0/24' }],
    });
    const config = { cniVersion: '1.1.0', name: 'net', type: 'macvlan', master: 'up0', ipam };
    const { json } = await lab.call('ADD', config, { pod });
    const prevResult = {
      ...json,
      interfaces: [{ name: 'net0', sandbox: pod.path }, ...json.interfaces],
      ips: [
        { address: '10.9.0.2/24', gateway: '10.9.0.1', interface: 0 },
        ...json.ips.map((one: { interface: number }) => ({ ...one, interface: one.interface + 1 })),
      ],
    };
    t.equal((await lab.call('CHECK', { ...config, prevResult }, { pod })).text, '');
  },
);

t.test('vlan and ipvlan refuse before they touch anything', { skip }, async t => {
  const lab = new CniNode(t);
  uplink(lab);
  const pod = lab.pod(t);
  const cases: [object, RegExp][] = [
    [
      { type: 'vlan', ipam: lab.ipam() },
      /^"master" field is required\. It specifies the host interface name/,
    ],
    [{ type: 'vlan', master: 'up0', vlanId: 4095, ipam: lab.ipam() }, /^vlanId: 4095/],
    [{ type: 'vlan', master: 'up0', vlanId: -1, ipam: lab.ipam() }, /^vlanId: -1/],
    [{ type: 'vlan', master: 'up0', vlanId: 5 }, /^ipam\.type: is missing/],
    [
      { type: 'vlan', master: 'up0', mtu: 1501, ipam: lab.ipam() },
      /^invalid MTU 1501, must be \[0, master MTU\(1500\)\]$/,
    ],
    [{ type: 'vlan', master: 'up0', mtu: -1, ipam: lab.ipam() }, /^invalid MTU -1, must be \[0, master MTU/],
    [
      { type: 'ipvlan', ipam: lab.ipam(), prevResult: { interfaces: [] } },
      /^chained master failure\. PrevResult/,
    ],
    [{ type: 'ipvlan', master: 'up0' }, /^ipam\.type: is missing/],
    [{ type: 'ipvlan', master: 'up0', mode: 'l4', ipam: lab.ipam() }, /^mode: "l4"/],
  ];
  for (const [config, msg] of cases) {
    const { json } = await lab.call('ADD', { cniVersion: '1.1.0', name: 'net', ...config }, { pod });
    t.match(json, { code: 7, msg });
  }
  t.notMatch(pod.ip('link show'), /eth0/);
});
