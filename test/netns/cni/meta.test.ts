import { readdirSync, writeFileSync } from 'node:fs';
import t, { type Test } from 'tap';
import { transfer } from '../../../bench/lab/transfer.ts';
import { checkAllowed, settingName } from '../../../src/cni/meta/tuning/config.ts';
import { ALL_VERSIONS, isAtLeast } from '../../../src/cni/skel/version.ts';
import { attempt } from '../../../src/lab/command.ts';
import type { Namespace } from '../../../src/lab/namespace.ts';
import { CniNode } from '../../fixtures/cni/cni.ts';
import { shapers } from '../../fixtures/io/shapers.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

const skip = skipUnless('root', 'netns', 'ip', 'nft', 'tc');
const ifb =
  skip ||
  (attempt(['unshare', '--net', 'ip', 'link', 'add', 'x', 'type', 'ifb']).code !== 0 &&
    'missing here: kernel module ifb');
type Pod = ReturnType<CniNode['pod']>;
// biome-ignore lint/suspicious/noExplicitAny: results are compared member by member
type Json = any;

/** A node with a pod on its bridge, and its result in one version. */
async function wired(t: Test, lab: CniNode, cniVersion: string, id = 'c1') {
  const pod = lab.pod(t);
  const bridge = { cniVersion, name: 'net', type: 'bridge', isDefaultGateway: true, ipam: lab.ipam() };
  const { json, status } = await lab.call('ADD', bridge, { pod, id });
  t.equal(status, 0);
  const undo = async () => {
    t.equal((await lab.call('DEL', bridge, { pod, id })).text, '');
    pod.remove();
  };
  return { pod, prevResult: json as Json, undo };
}

const link = (pod: Pod, name = 'eth0') => JSON.parse(pod.must(['ip', '-j', '-d', 'link', 'show', name]))[0];

t.test('tuning in every version', { skip }, async t => {
  const lab = new CniNode(t);
  const dataDir = `${lab.scratch}/tuning`;
  for (const cniVersion of ALL_VERSIONS) {
    const { pod, prevResult, undo } = await wired(t, lab, cniVersion);
    const before = link(pod);
    const config = {
      cniVersion,
      name: 'net',
      type: 'tuning',
      dataDir,
      mac: '02:00:00:00:00:0A',
      mtu: 1300,
      promisc: true,
      allmulti: true,
      txQLen: 77,
      sysctl: { 'net.ipv4.conf.IFNAME.log_martians': '1', 'net/core/somaxconn': '500' },
      prevResult,
    };
    const add = await lab.call('ADD', config, { pod });
    t.equal(add.status, 0, `${cniVersion} ${add.status ? add.text : ''}`);
    if (isAtLeast(cniVersion, '0.3.0')) {
      t.equal(add.json.interfaces[2].mac, '02:00:00:00:00:0a');
      if (cniVersion === '1.1.0') t.equal(add.json.interfaces[2].mtu, 1300);
      t.strictSame(add.json.ips, prevResult.ips);
    } else t.strictSame(add.json, prevResult);
    t.match(link(pod), { address: '02:00:00:00:00:0a', mtu: 1300, promiscuity: 1, txqlen: 77 });
    t.ok(link(pod).flags.includes('ALLMULTI'));
    t.equal(pod.must(['cat', '/proc/sys/net/ipv4/conf/eth0/log_martians']).trim(), '1');
    t.equal(pod.must(['cat', '/proc/sys/net/core/somaxconn']).trim(), '500');
    if (isAtLeast(cniVersion, '0.4.0')) {
      const check = async () => (await lab.call('CHECK', config, { pod })).json?.msg;
      t.equal(await check(), undefined);
      const damages: [string[], RegExp][] = [
        [['ip', 'link', 'set', 'eth0', 'mtu', '1200'], /configured mtu .* is 1300, current value is 1200/],
        [['ip', 'link', 'set', 'eth0', 'promisc', 'off'], /configured promisc/],
        [['ip', 'link', 'set', 'eth0', 'allmulticast', 'off'], /configured allmulti/],
        [['ip', 'link', 'set', 'eth0', 'txqueuelen', '5'], /configured txQLen/],
        [['ip', 'link', 'set', 'eth0', 'address', '02:00:00:00:00:0b'], /configured mac/],
        [['sysctl', '-qw', 'net.core.somaxconn=9'], /net\/core\/somaxconn is 500, current value is 9/],
      ];
      for (const [damage, message] of damages) {
        pod.must(damage);
        t.match(await check(), message);
        await lab.call('ADD', config, { pod });
      }
      writeFileSync(
        `${dataDir}/c1_eth0.json`,
        JSON.stringify({
          mac: before.address,
          mtu: before.mtu,
          promisc: false,
          allmulti: false,
          txQLen: before.txqlen,
        }),
      );
    }
    t.equal((await lab.call('DEL', config, { pod })).text, '');
    t.match(link(pod), { address: before.address, mtu: before.mtu, promiscuity: 0, txqlen: before.txqlen });
    t.notOk(link(pod).flags.includes('ALLMULTI'));
    t.equal((await lab.call('DEL', config, { pod })).text, '', 'DEL again');
    t.equal((await lab.call('DEL', config, {})).text, '', 'DEL without a namespace');
    t.strictSame(readdirSync(dataDir), []);
    await undo();
  }
});

t.test('tuning: sources, undo, refusals, GC', { skip }, async t => {
  const lab = new CniNode(t);
  const { pod, prevResult } = await wired(t, lab, '1.1.0');
  const base = {
    cniVersion: '1.1.0',
    name: 'net',
    type: 'tuning',
    dataDir: `${lab.scratch}/tuning`,
    prevResult,
  };
  const macOf = async (changes: object, args = '') =>
    (await lab.call('ADD', { ...base, ...changes }, { pod, args })).json.interfaces?.[2].mac;
  const mac = '02:00:00:00:00:01';
  t.equal(await macOf({ mac }), mac);
  t.equal(await macOf({ mac }, 'MAC=02:00:00:00:00:02'), '02:00:00:00:00:02');
  const runtime = { runtimeConfig: { mac: '02:00:00:00:00:04' } };
  t.equal(await macOf({ mac, ...runtime }, 'MAC=02:00:00:00:00:02'), '02:00:00:00:00:04');
  const cni = { args: { cni: { mac: '02:00:00:00:00:03', mtu: 1234 } } };
  t.equal(await macOf({ mac, ...runtime, ...cni }, 'MAC=02:00:00:00:00:02'), '02:00:00:00:00:03');
  t.equal(link(pod).mtu, 1234);
  await lab.call('DEL', base, { pod });

  const arp = (name: string) => pod.must(['cat', `/proc/sys/net/ipv4/conf/eth0/${name}`]).trim();
  const both = {
    sysctl: { 'net.ipv4.conf.IFNAME.arp_filter': '0', 'net.ipv4.conf.IFNAME.arp_notify': '1' },
    args: {
      cni: { sysctl: { 'net/ipv4/conf/eth0/arp_filter': '1', 'net.ipv4.conf.IFNAME.arp_accept': '1' } },
    },
  };
  t.equal((await lab.call('ADD', { ...base, ...both }, { pod })).status, 0);
  t.strictSame(['arp_filter', 'arp_notify', 'arp_accept'].map(arp), ['1', '1', '1'], 'args.cni.sysctl (B9)');
  t.equal((await lab.call('CHECK', { ...base, ...both }, { pod })).text, '');
  for (const command of ['STATUS', 'GC']) {
    const call = { ...base, ...both, prevResult: undefined, 'cni.dev/valid-attachments': [] };
    t.equal((await lab.call(command, call, { ifname: '' })).text, '', `${command} without an interface (B3)`);
  }

  pod.ip('link set eth0 allmulticast on promisc on');
  const off = { ...base, allmulti: false };
  t.equal((await lab.call('ADD', off, { pod })).status, 0);
  t.notOk(link(pod).flags.includes('ALLMULTI'), 'switched off (B14)');
  t.match((await lab.call('CHECK', off, { pod })).json, { msg: /configured promisc of eth0 is false/ });
  pod.ip('link set eth0 promisc off');
  t.equal((await lab.call('CHECK', off, { pod })).text, '');
  pod.ip('link set eth0 allmulticast on');
  t.match((await lab.call('CHECK', off, { pod })).json, { msg: /configured allmulti of eth0 is false/ });
  pod.ip('link set eth0 allmulticast off');

  const former = pod.must(['cat', '/proc/sys/net/core/somaxconn']);
  const bad = { sysctl: { 'net.core.somaxconn': '321', 'net.core.no_such_thing': '1' } };
  t.match((await lab.call('ADD', { ...base, ...bad }, { pod })).json, { msg: /no_such_thing/ });
  t.equal(pod.must(['cat', '/proc/sys/net/core/somaxconn']), former, 'the first one is set back');

  const refusals: [object, number, RegExp][] = [
    [{ sysctl: { 'kernel.hostname': 'x' } }, 7, /^sysctl\.kernel\.hostname: invalid net sysctl key/],
    [{ sysctl: { 'net/../kernel/hostname': 'x' } }, 7, /invalid net sysctl key/],
    [
      { sysctl: { 'net.ipv4.conf.eth0.arp_filter': '1', 'net/ipv4/conf/IFNAME/arp_filter': '0' } },
      7,
      /^duplicated sysctl keys are not allowed/,
    ],
    [{ sysctl: { 'net.core.somaxconn': 5 } }, 7, /5 is not a text/],
    [{ mtu: 'x' }, 7, /^mtu: "x"/],
    [{ mac: '02:00' }, 7, /^mac: "02:00"/],
    [{ prevResult: undefined }, 7, /must be called as chained plugin/],
  ];
  for (const [changes, code, msg] of refusals) {
    t.match((await lab.call('ADD', { ...base, ...changes }, { pod })).json, { code, msg });
  }
  await lab.call('ADD', { ...base, mtu: 1400 }, { pod, id: 'gone' });
  await lab.call('ADD', { ...base, mtu: 1400, name: 'other' }, { pod, id: 'elsewhere' });
  const gc = await lab.call('GC', { ...base, prevResult: undefined, 'cni.dev/valid-attachments': [] });
  t.equal(gc.text, '');
  t.strictSame(readdirSync(base.dataDir), ['elsewhere_eth0.json'], 'files of another network stay');

  const list = `${lab.scratch}/allow`;
  writeFileSync(list, '  ^net\\.core\\..*$ \t\n\n^net.ipv4.conf.IFNAME.[[:lower:]_]*$\r\n');
  const setting = (key: string) => [{ key, name: settingName(key, 'eth0'), value: '1' }];
  for (const key of [
    'net.core.somaxconn',
    'net.ipv4.conf.IFNAME.arp_filter',
    'net/ipv4/conf/IFNAME/forwarding',
  ])
    t.doesNotThrow(() => checkAllowed(setting(key), list), key);
  for (const key of ['net.ipv4.ip_forward', 'net.ipv4.conf.eth0.arp_filter', 'net/core/somaxconn'])
    t.throws(() => checkAllowed(setting(key), list), {
      code: 2,
      message: `Sysctl ${key} is not allowed. Only the following sysctls are allowed: `,
    });
  t.doesNotThrow(() => checkAllowed(setting('net.ipv4.ip_forward'), `${list}-missing`));
  t.throws(() => checkAllowed(setting('net.core.somaxconn'), lab.scratch), { code: 5 }, 'an unreadable list');
  writeFileSync(list, '(');
  t.throws(() => checkAllowed(setting('net.core.somaxconn'), list), { code: 'ECONFIG' });
});

t.test('bandwidth in every version', { skip: ifb }, async t => {
  const lab = new CniNode(t);
  const limits = {
    ingressRate: 8_000_000,
    ingressBurst: 800_000,
    egressRate: 16_000_000,
    egressBurst: 1_600_000,
  };
  for (const cniVersion of ALL_VERSIONS) {
    const { pod, prevResult, undo } = await wired(t, lab, cniVersion);
    const config = { cniVersion, name: 'net', type: 'bandwidth', ...limits, prevResult };
    const add = await lab.call('ADD', config, { pod });
    if (!isAtLeast(cniVersion, '0.3.0')) {
      // These versions hand no interfaces on, by which the node's end would be known.
      t.match(add.json, { code: 999, msg: /no veth peer/ }, cniVersion);
      t.notMatch(lab.node.ip('link show'), /bwp/);
      await undo();
      continue;
    }
    t.equal(add.status, 0, `${cniVersion} ${add.status ? add.text : ''}`);
    const [, port, , device] = add.json.interfaces;
    t.match(device.name, /^bwp[0-9a-f]{12}$/);
    t.match(
      lab.node.must(['tc', 'qdisc', 'show', 'dev', port.name]),
      /tbf .*root .*rate 8Mbit burst (100000b|99999b|97\.?\d*Kb).*lat 25/,
    );
    t.match(lab.node.must(['tc', 'qdisc', 'show', 'dev', device.name]), /tbf .*root .*rate 16Mbit .*lat 25/);
    t.match(
      lab.node.must(['tc', 'filter', 'show', 'dev', port.name, 'ingress']),
      `Egress Redirect to device ${device.name}`,
    );
    if (isAtLeast(cniVersion, '0.4.0')) {
      const check = async () =>
        (await lab.call('CHECK', { ...config, prevResult: add.json }, { pod })).json?.msg;
      t.equal(await check(), undefined);
      lab.node.must([
        'tc',
        'qdisc',
        'replace',
        'dev',
        port.name,
        'root',
        'tbf',
        'rate',
        '1mbit',
        'burst',
        '100000',
        'latency',
        '25ms',
      ]);
      t.match(await check(), /limit of veth.* is 1000000 bit\/s/);
      lab.node.must(['tc', 'qdisc', 'del', 'dev', port.name, 'root']);
      t.match(await check(), /is not limited/);
    }
    for (let round = 0; round < 2; round++) t.equal((await lab.call('DEL', config, { pod })).text, '');
    t.equal((await lab.call('DEL', config, {})).text, '', 'without a namespace');
    t.notMatch(lab.node.ip('link show'), /bwp/);
    await undo();
  }
});

t.test(
  'bandwidth: traffic is shaped, two interfaces, one direction, refusals, GC',
  { skip: ifb },
  async t => {
    const lab = new CniNode(t);
    const { pod, prevResult } = await wired(t, lab, '1.1.0');
    const base = { cniVersion: '1.1.0', name: 'net', type: 'bandwidth', prevResult };
    const limits = {
      ingressRate: 20_000_000,
      ingressBurst: 400_000,
      egressRate: 10_000_000,
      egressBurst: 400_000,
    };
    const given = { ...base, runtimeConfig: { bandwidth: limits } };
    t.equal((await lab.call('ADD', given, { pod })).status, 0);
    /** Sends through the limits. @returns what each shaper let through, and how often it held packets back */
    const shaped = async (from: Namespace, to: Namespace, address: string) => {
      t.ok((await transfer({ from, to, address, bytes: 1_000_000 })).intact);
      return shapers(lab.node);
    };
    const before = shapers(lab.node);
    t.same(Object.keys(before), ['20Mbit', '10Mbit'], 'one shaper for each direction');
    const down = await shaped(lab.node, pod, '10.1.0.2');
    t.ok(down['20Mbit']!.bytes > 1e6, 'towards the pod');
    t.ok(down['20Mbit']!.heldBack > before['20Mbit']!.heldBack);
    const up = await shaped(pod, lab.node, '10.1.0.1');
    t.ok(up['10Mbit']!.bytes > 1e6, 'from the pod');
    t.ok(up['10Mbit']!.heldBack > down['10Mbit']!.heldBack);

    const bridge = { cniVersion: '1.1.0', name: 'net', type: 'bridge', ipam: lab.ipam() };
    const { json: two } = await lab.call('ADD', bridge, { pod, ifname: 'net1' });
    const other = { ...given, prevResult: two };
    t.equal(
      (await lab.call('ADD', other, { pod, ifname: 'net1' })).status,
      0,
      'a second interface does not collide',
    );
    t.equal(lab.node.ip('link show').match(/bwp[0-9a-f]+:/g)?.length, 2);
    t.equal((await lab.call('DEL', given, { pod })).text, '');
    t.equal(lab.node.ip('link show').match(/bwp[0-9a-f]+:/g)?.length, 1);
    t.equal(
      (await lab.call('GC', { ...base, prevResult: undefined, 'cni.dev/valid-attachments': [] })).text,
      '',
    );
    t.notMatch(lab.node.ip('link show'), /bwp/);
    t.match(pod.ip('link show'), /net1/, 'GC of this plugin takes its own devices only');

    const one = { ...base, ingressRate: 1_000_000, ingressBurst: 80_000 };
    t.strictSame((await lab.call('ADD', one, { pod })).json, prevResult, 'only towards the pod: no device');
    t.strictSame((await lab.call('ADD', base, { pod })).json, prevResult, 'no limits: nothing');
    const refusals: [object, number, RegExp][] = [
      [{ ingressRate: 8 }, 7, /^if rate is set, burst must also be set/],
      [{ egressBurst: 8 }, 7, /^if burst is set, rate must also be set/],
      [{ ingressRate: 8000, ingressBurst: 0xffffffff * 8 }, 7, /cannot be more than 4GB/],
      [{ ingressRate: -1 }, 7, /^ingressRate: -1/],
      [{ ingressRate: '5' }, 7, /^ingressRate: "5"/],
      [{ ...limits, prevResult: { ...prevResult, interfaces: [] } }, 999, /no veth peer/],
      [{ ...limits, prevResult: undefined }, 7, /must be called as chained plugin/],
    ];
    for (const [changes, code, msg] of refusals) {
      t.match((await lab.call('ADD', { ...base, ...changes }, { pod })).json, { code, msg });
    }
  },
);
