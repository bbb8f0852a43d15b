import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import t from 'tap';
import { ALL_VERSIONS, isAtLeast } from '../../../src/cni/skel/version.ts';
import { CniNode } from '../../fixtures/cni/cni.ts';
import { answerOf } from '../../fixtures/cni/port-answer.ts';
import { FIREWALLD, startFirewalld } from '../../fixtures/firewalld.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

const skip = skipUnless('root', 'netns', 'ip', 'nft', 'iptables');
const ranges = (third: number) => ({
  ranges: [[{ subnet: `10.${third}.0.0/24` }], [{ subnet: `fd00:${third}::/64` }]],
});

for (const backend of ['iptables', 'nftables']) {
  t.test(`firewall with ${backend} in every version`, { skip }, async t => {
    const lab = new CniNode(t);
    for (const cniVersion of ALL_VERSIONS) {
      const pod = lab.pod(t);
      const bridge = { cniVersion, name: 'net', type: 'bridge', isGateway: true, ipam: lab.ipam(ranges(1)) };
      const { json: prevResult } = await lab.call('ADD', bridge, { pod });
      const config = { cniVersion, name: 'net', type: 'firewall', backend, prevResult };
      const add = await lab.call('ADD', config, { pod });
      t.strictSame(add.json, prevResult, `${cniVersion}: hands the result on`);
      const rules = () =>
        backend === 'iptables'
          ? lab.node.must(['iptables-save', '-t', 'filter']) +
            lab.node.must(['ip6tables-save', '-t', 'filter'])
          : lab.node.must(['nft', 'list', 'table', 'inet', 'ripstop_cni']);
      if (backend === 'iptables') {
        t.match(rules(), /-A FORWARD -m comment --comment "CNI firewall plugin rules" -j CNI-FORWARD/);
        t.match(
          rules(),
          /-A CNI-FORWARD -m comment --comment "CNI firewall plugin admin overrides" -j CNI-ADMIN/,
        );
        t.match(rules(), /-A CNI-FORWARD -s 10\.1\.0\.\d+\/32 .*-j ACCEPT/);
        t.match(
          rules(),
          /-A CNI-FORWARD -d fd00:1::[0-9a-f]+\/128 -m conntrack --ctstate RELATED,ESTABLISHED .*-j ACCEPT/,
        );
      } else t.match(rules(), /elements = \{ 10\.1\.0\.\d+ comment/);
      if (isAtLeast(cniVersion, '0.4.0')) {
        t.equal((await lab.call('CHECK', config, { pod })).text, '');
        if (backend === 'iptables') lab.node.must(['iptables', '-F', 'CNI-FORWARD']);
        else lab.node.must(['nft', 'flush', 'set', 'inet', 'ripstop_cni', 'pods4']);
        t.match((await lab.call('CHECK', config, { pod })).json, {
          msg: /firewall rules of 10\.1\.0\.\d+ are missing/,
        });
      }
      if (cniVersion === '1.1.0') {
        t.equal((await lab.call('STATUS', config)).text, '');
        await lab.call('ADD', { ...config, name: 'net' }, { pod, id: 'stale' });
        t.equal((await lab.call('GC', { ...config, 'cni.dev/valid-attachments': [] })).text, '');
        t.notMatch(rules(), /10\.1\.0\.\d+/);
      }
      for (let round = 0; round < 2; round++) {
        t.equal(
          (await lab.call('DEL', { ...config, prevResult: undefined }, {})).text,
          '',
          'DEL by name alone',
        );
      }
      t.notMatch(rules(), /10\.1\.0\.\d+|fd00:1::/);
      await lab.call('DEL', bridge, { pod });
      pod.remove();
    }
  });
}

t.test(
  'iptables: pods pass where forwarding is shut; policies keep bridges and pods apart',
  { skip },
  async t => {
    const lab = new CniNode(t);
    lab.node.must(['iptables', '-P', 'FORWARD', 'DROP']);
    const add = async (third: number, id: string, firewall: object | undefined) => {
      const pod = lab.pod(t);
      const name = `net${third}`;
      const bridge = {
        cniVersion: '1.0.0',
        name,
        type: 'bridge',
        bridge: `br${third}`,
        isDefaultGateway: true,
        ipam: lab.ipam({ subnet: `10.${third}.0.0/24` }),
      };
      const { json: prevResult } = await lab.call('ADD', bridge, { pod, id });
      const config = { cniVersion: '1.0.0', name, type: 'firewall', prevResult, ...firewall };
      if (firewall) t.equal((await lab.call('ADD', config, { pod, id })).status, 0);
      return {
        pod,
        address: prevResult.ips[0].address.split('/')[0],
        close: () => lab.call('DEL', config, { pod, id }),
      };
    };
    const reaches = (from: { pod: { attempt(argv: string[]): { code: number } } }, to: { address: string }) =>
      from.pod.attempt(['ping', '-c1', '-W1', to.address]).code === 0;
    const shut = await add(1, 'shut', undefined);
    const open = await add(2, 'open', {});
    t.ok(reaches(open, shut), 'what a pod begins passes, with the answers');
    t.notOk(reaches(shut, open), 'no other pod may open a connection');
    await open.close();
    t.notOk(reaches(open, shut), 'shut again');

    const guarded = [
      await add(3, 'g3', { ingressPolicy: 'same-bridge' }),
      await add(4, 'g4', { ingressPolicy: 'same-bridge' }),
    ];
    t.notOk(reaches(guarded[0]!, guarded[1]!), 'bridge to bridge');
    t.ok(reaches(guarded[0]!, shut), 'but out to others');
    const isolated = await add(5, 'i5', { ingressPolicy: 'isolated' });
    t.notOk(reaches(guarded[0]!, isolated));
    const rules = lab.node.must(['iptables-save', '-t', 'filter']);
    t.match(rules, /-A CNI-ISOLATION-STAGE-1 -i br5 -o br5 -j DROP/);
    t.match(rules, /-A CNI-ISOLATION-STAGE-1 -i br3 ! -o br3 -j CNI-ISOLATION-STAGE-2/);
    t.equal(rules.match(/-A FORWARD .*-j CNI-FORWARD/g)?.length, 1, 'one jump, however many pods');
  },
);

t.test('nftables: policies', { skip }, async t => {
  const lab = new CniNode(t);
  const pods: { pod: ReturnType<CniNode['pod']>; address: string }[] = [];
  for (const third of [3, 4]) {
    const pod = lab.pod(t);
    const bridge = {
      cniVersion: '1.0.0',
      name: `net${third}`,
      type: 'bridge',
      bridge: `br${third}`,
      isDefaultGateway: true,
      ipam: lab.ipam({ subnet: `10.${third}.0.0/24` }),
    };
    const { json: prevResult } = await lab.call('ADD', bridge, { pod, id: `p${third}` });
    pods.push({ pod, address: prevResult.ips[0].address.split('/')[0] });
    const config = {
      cniVersion: '1.0.0',
      name: `net${third}`,
      type: 'firewall',
      backend: 'nftables',
      ingressPolicy: 'same-bridge',
      prevResult,
    };
    t.equal((await lab.call('ADD', config, { pod, id: `p${third}` })).status, 0);
  }
  t.not(pods[0]!.pod.attempt(['ping', '-c1', '-W1', pods[1]!.address]).code, 0, 'bridge to bridge');
  pods[0]!.pod.must(['ping', '-c1', '-W10', '10.3.0.1']);
  const bad = async (changes: object) =>
    (
      await lab.call(
        'ADD',
        { cniVersion: '1.0.0', name: 'net3', type: 'firewall', prevResult: { ips: [] }, ...changes } as {
          type: string;
        },
        { pod: pods[0]!.pod },
      )
    ).json;
  t.match(await bad({ backend: 'pf' }), { code: 7, msg: /^backend: "pf" is not one of/ });
  t.match(await bad({ ingressPolicy: 'half' }), { code: 7, msg: /^ingressPolicy: "half"/ });
  t.match(await bad({ ingressPolicy: 'isolated' }), {
    code: 7,
    msg: /^interface needs to be set for ingress policy "isolated"/,
  });
  t.match(await bad({ iptablesAdminChainName: 'A B' }), { code: 7, msg: /"A B" is not a chain name/ });
  t.match(await bad({ prevResult: undefined }), { code: 7, msg: /must be called as chained plugin/ });
});

for (const backend of ['iptables', 'nftables'])
  t.test(`${backend}: addresses without a sandbox (B12), a policy behind ptp (B17)`, { skip }, async t => {
    const lab = new CniNode(t);
    const firewall = { cniVersion: '1.0.0', name: 'net', type: 'firewall', backend };
    const rules = () =>
      backend === 'iptables'
        ? lab.node.must(['iptables-save', '-t', 'filter'])
        : lab.node.must(['nft', 'list', 'table', 'inet', 'ripstop_cni']);
    const lone = {
      ...firewall,
      prevResult: {
        cniVersion: '1.0.0',
        interfaces: [{ name: 'dummy0' }],
        ips: [{ address: '10.0.2.2/24', interface: 0 }],
        dns: {},
      },
    };
    const place = lab.pod(t);
    t.equal((await lab.call('ADD', lone, { pod: place })).status, 0);
    t.match(rules(), /10\.0\.2\.2/);
    t.equal((await lab.call('CHECK', lone, { pod: place })).text, '');
    t.equal((await lab.call('DEL', { ...lone, prevResult: undefined }, {})).text, '');
    t.notMatch(rules(), /10\.0\.2\.2/);

    const wire = async (id: string, third: number) => {
      const pod = lab.pod(t);
      const ipam = lab.ipam({ subnet: `10.${third}.0.0/24`, routes: [{ dst: '0.0.0.0/0' }] });
      const ptp = { cniVersion: '1.0.0', name: `net${third}`, type: 'ptp', ipam };
      const { json: prevResult } = await lab.call('ADD', ptp, { pod, id });
      const config = { ...firewall, name: `net${third}`, ingressPolicy: 'same-bridge', prevResult };
      t.strictSame((await lab.call('ADD', config, { pod, id })).json, prevResult);
      const address: string = prevResult.ips[0].address.split('/')[0];
      return { pod, address, device: prevResult.interfaces[0].name as string, config };
    };
    const [a, b] = [await wire('a', 3), await wire('b', 4)];
    const reaches = (to: string) => a.pod.attempt(['ping', '-c1', '-W1', to]).code === 0;
    t.ok(reaches('10.4.0.1'), 'the node');
    t.notOk(reaches(b.address), 'another guarded pod');
    t.equal((await lab.call('DEL', { ...b.config, prevResult: undefined }, { id: 'b' })).text, '');
    t.ok(reaches(b.address), 'no longer guarded');
    t.notMatch(rules(), b.device, 'its device has no rule left');
    t.match(rules(), a.device);
  });

t.test(
  'firewalld: sources of a zone, by default where it runs',
  { skip: skip || skipUnless(...FIREWALLD) },
  async t => {
    const lab = new CniNode(t);
    const run = await startFirewalld(t, lab.node, lab.bus);
    const sources = (zone = 'trusted') =>
      run(`firewall-cmd --zone=${zone} --list-sources`).trim().split(/\s+/).sort();
    const pod = lab.pod(t);
    const bridge = {
      cniVersion: '1.1.0',
      name: 'net',
      type: 'bridge',
      isGateway: true,
      ipam: lab.ipam(ranges(1)),
    };
    const { json: prevResult } = await lab.call('ADD', bridge, { pod });
    const dataDir = `${lab.scratch}/firewalld`;
    const config = { cniVersion: '1.1.0', name: 'net', type: 'firewall', dataDir, prevResult };
    const call = (command: string, more: object = {}, id = 'c1') =>
      lab.call(command, { ...config, ...more }, { pod, id });
    const own = ['10.1.0.2/32', 'fd00:1::2/128'];
    const server = lab.node.launch([
      process.execPath,
      '-e',
      "require('node:net').createServer(s => s.end('hello')).listen(5000, '::', () => console.log('on'))",
    ]);
    await server.saying(/on/);
    t.equal(answerOf(pod, '10.1.0.1', 5000), '', 'the default zone rejects it');

    t.strictSame((await call('ADD')).json, prevResult);
    t.strictSame(sources(), own);
    t.equal(answerOf(pod, '10.1.0.1', 5000), 'hello');
    t.notMatch(lab.node.must(['iptables-save', '-t', 'filter']), /CNI-FORWARD/);
    t.equal((await call('CHECK')).text, '');
    t.equal((await call('STATUS', { backend: 'firewalld' })).text, '');
    t.equal((await call('ADD', { backend: 'firewalld' })).status, 0, 'a source that is there');

    run('firewall-cmd --reload');
    t.match((await call('CHECK')).json, { msg: /^firewall rules of 10\.1\.0\.2, fd00:1::2 are missing/ });
    t.equal((await call('DEL')).text, '', 'sources that a reload has removed');
    t.strictSame(readdirSync(dataDir), []);

    await call('ADD', { firewalldZone: 'internal' });
    t.strictSame(sources('internal'), own);
    t.equal((await call('CHECK', { firewalldZone: 'internal' })).text, '');
    for (let round = 0; round < 2; round++)
      t.equal(
        (await lab.call('DEL', { ...config, prevResult: undefined }, {})).text,
        '',
        'DEL by name alone',
      );
    t.strictSame(sources('internal'), ['']);

    await call('ADD', { firewalldZone: 'internal' }, 'gone');
    t.equal(
      (await call('ADD', {}, 'new')).status,
      0,
      'a pod that no longer exists had the addresses in another zone',
    );
    t.equal((await call('DEL', { prevResult: undefined }, 'gone')).text, '');
    t.strictSame([sources('internal'), sources()], [[''], own]);
    const valid = (containerID: string) => ({
      'cni.dev/valid-attachments': [{ containerID, ifname: 'eth0' }],
    });
    t.equal((await call('GC', { prevResult: undefined, ...valid('new') })).text, '');
    t.strictSame(sources(), own);
    t.equal((await call('GC', { prevResult: undefined, ...valid('other') })).text, '');
    t.strictSame([sources(), readdirSync(dataDir)], [[''], []]);

    run('firewall-cmd --zone=trusted --add-source=10.1.0.2/32');
    t.equal((await call('DEL', {}, 'theirs')).text, '');
    t.strictSame(sources(), [''], 'a source of the reference plugin, by its address');

    t.match((await call('ADD', { firewalldZone: 'none' })).json, {
      code: 999,
      msg: /^failed to add the address 10\.1\.0\.2\/32 to none zone: INVALID_ZONE/,
    });
    t.strictSame(readdirSync(dataDir), []);
    await call('ADD', { ingressPolicy: 'isolated' });
    t.match(
      lab.node.must(['iptables-save', '-t', 'filter']),
      /-A CNI-ISOLATION-STAGE-1 -i cni0 -o cni0 -j DROP/,
    );
    await call('DEL');
    await call('ADD', { backend: 'iptables' });
    t.strictSame(sources(), [''], 'another back end by name');
    await call('DEL');

    await run.stop();
    t.match((await call('STATUS', { backend: 'firewalld' })).json, {
      code: 50,
      msg: /firewalld does not run/,
    });
    t.match((await call('ADD', { backend: 'firewalld' })).json, {
      code: 999,
      msg: /^failed to add the address/,
    });
    t.equal((await call('ADD')).status, 0);
    t.match(
      lab.node.must(['iptables-save', '-t', 'filter']),
      /-A CNI-FORWARD -s 10\.1\.0\.2/,
      'iptables without it',
    );
    t.equal((await call('CHECK')).text, '');
    t.equal((await call('DEL')).text, '');
  },
);

t.test("debug: hooks start in the runtime's working directory", { skip }, async t => {
  const lab = new CniNode(t);
  const pod = lab.pod(t);
  const script = '#!/bin/sh\npwd >seen\nip link set lo mtu 4000\n';
  writeFileSync(`${lab.scratch}/hook.sh`, script, { mode: 0o755 });
  const config = { cniVersion: '1.1.0', name: 'net', type: 'debug', addHooks: [['./hook.sh']] };
  t.equal((await lab.call('ADD', config, { pod, cwd: lab.scratch })).status, 0);
  t.equal(readFileSync(`${lab.scratch}/seen`, 'utf8'), `${lab.scratch}\n`);
  t.match(pod.ip('link show lo'), /mtu 4000/, 'and in the namespace of the pod');
  const anywhere = { ...config, addHooks: [['ip', 'link', 'set', 'lo', 'mtu', '5000']] };
  t.equal((await lab.call('ADD', anywhere, { pod, cwd: '/no/such/directory' })).status, 0);
  t.match(pod.ip('link show lo'), /mtu 5000/, 'hooks run where the directory is not visible, too');
});

t.test('sample and debug in every version', { skip }, async t => {
  const lab = new CniNode(t);
  const pod = lab.pod(t);
  const output = `${lab.scratch}/calls`;
  for (const cniVersion of ALL_VERSIONS) {
    const prevResult = isAtLeast(cniVersion, '0.3.0')
      ? { cniVersion, ips: [{ address: '10.0.0.2/8' }], dns: {} }
      : { cniVersion, ip4: { ip: '10.0.0.2/8' }, dns: {} };
    const sample = { cniVersion, name: 'net', type: 'sample', anotherAwesomeArg: 'x', prevResult };
    t.match((await lab.call('ADD', sample, { pod })).json, prevResult, cniVersion);
    t.match((await lab.call('ADD', { ...sample, prevResult: undefined }, { pod })).json, {
      msg: 'must be called as chained plugin',
    });
    t.match((await lab.call('ADD', { ...sample, anotherAwesomeArg: undefined }, { pod })).json, {
      code: 7,
      msg: 'anotherAwesomeArg must be specified',
    });
    const debug = {
      cniVersion,
      name: 'net',
      type: 'debug',
      cniOutput: output,
      addHooks: [['no-such-program'], ['ip', 'link', 'set', 'lo', 'mtu', '4000']],
      delHooks: [['ip', 'link', 'set', 'lo', 'mtu', '5000']],
      prevResult,
    };
    t.match((await lab.call('ADD', debug, { pod })).json, prevResult);
    t.match(pod.ip('link show lo'), /mtu 4000/, 'a hook that fails does not keep the next from running');
    if (isAtLeast(cniVersion, '0.4.0')) {
      for (const config of [sample, debug]) t.equal((await lab.call('CHECK', config, { pod })).text, '');
    }
    for (const config of [sample, debug]) {
      t.equal((await lab.call('DEL', config, { pod })).text, '');
      t.equal((await lab.call('DEL', config, {})).text, '');
      if (cniVersion !== '1.1.0') continue;
      t.equal((await lab.call('STATUS', config)).text, '');
      t.equal((await lab.call('GC', { ...config, 'cni.dev/valid-attachments': [] })).text, '');
    }
    t.match(pod.ip('link show lo'), /mtu 5000/);
  }
  t.match(
    readFileSync(output, 'utf8'),
    /CmdAdd\nContainerID: c1\nNetNs: .*\nIfName: eth0\n[\s\S]*StdinData: \{"cniVersion":"0\.1\.0"/,
  );
});
