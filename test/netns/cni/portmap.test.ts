import t from 'tap';
import { CniNode } from '../../fixtures/cni/cni.ts';
import { answerOf } from '../../fixtures/cni/port-answer.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

const skip = skipUnless('root', 'netns', 'ip', 'nft', 'iptables');

for (const backend of ['nftables', 'iptables']) {
  t.test(`${backend}: mappings, refusals, CHECK, DEL, GC`, { skip }, async t => {
    const lab = new CniNode(t);
    lab.node.ip('link add up0 type veth peer name up1', 'addr add 192.0.2.1/24 dev up0', 'link set up0 up');
    lab.node.ip('addr add 192.0.2.2/24 dev up0', 'link set up1 up');
    const bridge = {
      cniVersion: '1.1.0',
      name: 'net',
      type: 'bridge',
      isDefaultGateway: true,
      hairpinMode: true,
      ipam: lab.ipam({ ranges: [[{ subnet: '10.1.0.0/24' }], [{ subnet: 'fd00:1::/64' }]] }),
    };
    const config = (portMappings: object[], more: object = {}) => ({
      cniVersion: '1.1.0',
      name: 'net',
      type: 'portmap',
      backend,
      runtimeConfig: { portMappings },
      ...more,
    });
    const pods = [lab.pod(t), lab.pod(t)];
    const results: object[] = [];
    for (const [i, pod] of pods.entries())
      results.push((await lab.call('ADD', bridge, { pod, id: `p${i}` })).json);
    const on = (i: number, command: string, network: ReturnType<typeof config>) =>
      lab.call(
        command,
        { ...network, prevResult: results[i] },
        {
          pod: pods[i],
          id: `p${i}`,
        },
      );
    const rules = () =>
      backend === 'nftables'
        ? lab.node.must(['nft', 'list', 'ruleset'])
        : lab.node.must(['iptables-save', '-t', 'nat']) + lab.node.must(['ip6tables-save', '-t', 'nat']);
    const left = /comment "rs|-A CNI-DN|-j CNI-DN/;

    const many = Array.from({ length: 20 }, (_, i) => ({
      hostPort: 9000 + i,
      containerPort: 80,
      protocol: 'tcp',
    }));
    const mixed = config([
      { hostPort: 8080, containerPort: 80, protocol: 'TCP' },
      { hostPort: 8080, containerPort: 53, protocol: 'udp' },
      { hostPort: 8443, containerPort: 443, protocol: 'tcp', hostIP: '192.0.2.1' },
      { hostPort: 8888, containerPort: 88, hostIP: '::' },
      ...many,
    ]);
    t.equal((await on(0, 'ADD', mixed)).status, 0);
    t.equal((await on(0, 'CHECK', mixed)).text, '');
    const refused = async (mapping: object) => (await on(1, 'ADD', config([mapping]))).json;
    t.match(await refused({ hostPort: 8080, containerPort: 1, protocol: 'tcp' }), {
      code: 100,
      msg: /^host port 8080\/tcp is taken/,
    });
    t.match(await refused({ hostPort: 8080, containerPort: 1, protocol: 'udp' }), { code: 100 });
    t.match(
      await refused({ hostPort: 8443, containerPort: 1 }),
      { code: 100 },
      'every address takes in the one that is taken',
    );
    t.match(await refused({ hostPort: 9007, containerPort: 1, hostIP: '192.0.2.2' }), { code: 100 });
    t.match(await refused({ hostPort: 8888, containerPort: 1, hostIP: '::' }), { code: 100 });
    const free = config([
      { hostPort: 8443, containerPort: 443, protocol: 'tcp', hostIP: '192.0.2.2' },
      { hostPort: 8888, containerPort: 88, hostIP: '0.0.0.0' },
      { hostPort: 8080, containerPort: 99, protocol: 'sctp' },
    ]);
    const second = await on(1, 'ADD', free);
    t.equal(second.status, 0, `another address, family or protocol is free: ${second.json?.msg}`);

    const server = pods[0]!.launch([
      process.execPath,
      '-e',
      "for (const p of [80, 443, 88]) require('node:net').createServer(s => s.end(p + ' ' + s.remoteAddress)).listen(p, '::', () => console.log('on ' + p))",
    ]);
    await server.saying(/on 88/);
    t.match(answerOf(lab.node, '127.0.0.1', 8080), /^80 /);
    t.match(answerOf(pods[1]!, '10.1.0.1', 9019), /^80 /);
    t.match(answerOf(pods[0]!, '10.1.0.1', 9000), /^80 /, 'hairpin');
    t.match(answerOf(lab.node, '192.0.2.1', 8443), /^443 /);
    t.equal(answerOf(pods[1]!, '192.0.2.2', 8443), '', 'the other pod has no such server');
    t.match(answerOf(pods[1]!, 'fd00:1::1', 8888), /^88 /, 'IPv6');
    await server.stop();

    if (backend === 'nftables') lab.node.must(['nft', 'flush', 'map', 'inet', 'ripstop_cni', 'hostports4']);
    else lab.node.must(['iptables', '-t', 'nat', '-F', 'CNI-HOSTPORT-DNAT']);
    t.match((await on(0, 'CHECK', mixed)).json, { code: 999, msg: /host ports of container p0 are missing/ });
    for (let round = 0; round < 2; round++) {
      t.equal(
        (await lab.call('DEL', config([]), { id: 'p0' })).text,
        '',
        'by name alone: no ports, no result, no namespace',
      );
    }
    t.match(rules(), left, 'the other pod keeps its ports');
    t.equal(
      (
        await lab.call('GC', {
          ...config([]),
          'cni.dev/valid-attachments': [{ containerID: 'p1', ifname: 'eth0' }],
        })
      ).text,
      '',
    );
    t.match(rules(), left);
    t.equal((await lab.call('GC', { ...config([]), 'cni.dev/valid-attachments': [] })).text, '');
    t.notMatch(rules(), left);
    t.equal((await on(1, 'ADD', config([{ hostPort: 8080, containerPort: 80 }]))).status, 0, 'free again');
    t.equal((await lab.call('STATUS', config([]))).text, '');
  });
}

t.test('conditions and marks', { skip }, async t => {
  const lab = new CniNode(t);
  const bridge = { cniVersion: '1.1.0', name: 'net', type: 'bridge', isGateway: true, ipam: lab.ipam() };
  const pod = lab.pod(t);
  const { json: prevResult } = await lab.call('ADD', bridge, { pod });
  const base = {
    cniVersion: '1.1.0',
    name: 'net',
    type: 'portmap',
    prevResult,
    runtimeConfig: { portMappings: [{ hostPort: 8080, containerPort: 80 }] },
  };
  const rules = () => lab.node.must(['nft', 'list', 'table', 'inet', 'ripstop_cni']);
  const when = { ...base, conditionsV4: ['ip', 'saddr', '!=', '192.0.2.0/24'] };
  t.equal((await lab.call('ADD', when, { pod })).text.includes('code'), false);
  t.match(rules(), /tcp dport 8080 ip saddr != 192\.0\.2\.0\/24 dnat ip to 10\.1\.0\.2:80 comment/);
  t.equal((await lab.call('CHECK', when, { pod })).text, '');
  t.equal((await lab.call('DEL', when, { pod })).text, '');
  t.notMatch(rules(), /dnat ip to 10\.1\.0\.2/);
  t.match((await lab.call('CHECK', when, { pod })).json, { code: 999 });
  const marked = { ...base, masqAll: true, markMasqBit: 5 };
  t.equal((await lab.call('ADD', marked, { pod })).status, 0);
  t.match(rules(), /chain hostmark_20_all_10_1_0_0_24 \{\s+meta mark set meta mark \| 0x00000020\s+\}/);
  await lab.call('DEL', marked, { pod });
  for (const plain of [
    { ...base, snat: false },
    { ...base, snat: false, masqAll: true },
  ]) {
    t.equal((await lab.call('ADD', plain, { pod })).status, 0);
    t.notMatch(rules(), /8080 comment .* : jump/, 'masqAll counts under snat only (B17)');
    await lab.call('DEL', plain, { pod });
  }
  const chains = { ...base, backend: 'iptables', snat: false, masqAll: true };
  t.equal((await lab.call('ADD', chains, { pod })).status, 0);
  t.notMatch(lab.node.must(['iptables-save', '-t', 'nat']), /-A CNI-DN.*SETMARK/);
  await lab.call('DEL', chains, { pod });
  for (const backend of ['nftables', 'iptables']) {
    const interfaces = [{ name: 'eth0', sandbox: pod.path }];
    const away = { ...prevResult, interfaces, ips: [{ address: '203.0.113.9/24', interface: 0 }] };
    const unrouted = { ...base, backend, prevResult: away };
    t.strictSame(
      (await lab.call('ADD', unrouted, { pod })).json,
      away,
      `${backend}: no route to the pod (B13)`,
    );
    t.equal((await lab.call('CHECK', unrouted, { pod })).text, '');
    t.equal((await lab.call('DEL', unrouted, { pod })).text, '');
  }
  const refusals: [object, RegExp][] = [
    [{ backend: 'nftables', externalSetMarkChain: 'KUBE-MARK-MASQ' }, /^nftables backend was requested but /],
    [{ markMasqBit: 32 }, /^markMasqBit: 32/],
    [{ backend: 'pf' }, /^backend: "pf"/],
    [{ runtimeConfig: { portMappings: [{ containerPort: 80 }] } }, /portMappings\[0\]\.hostPort: is missing/],
    [
      { runtimeConfig: { portMappings: [{ hostPort: 1, containerPort: 0 }] } },
      /^Invalid container port number: 0/,
    ],
    [{ runtimeConfig: { portMappings: [{ hostPort: 70000, containerPort: 80 }] } }, /hostPort: 70000/],
    [
      { runtimeConfig: { portMappings: [{ hostPort: 1, containerPort: 80, protocol: 'icmp' }] } },
      /"icmp" is not one of/,
    ],
    [
      { runtimeConfig: { portMappings: [{ hostPort: 1, containerPort: 80, hostIP: 'x' }] } },
      /"x" is not an IP address/,
    ],
    [{ prevResult: undefined }, /must be called as chained plugin/],
  ];
  for (const [changes, msg] of refusals) {
    t.match((await lab.call('ADD', { ...base, ...changes }, { pod })).json, { code: 7, msg });
  }
});

t.test('UDP flows follow the mapping at once', { skip: skip || skipUnless('conntrack') }, async t => {
  const lab = new CniNode(t);
  lab.node.ip('link add up0 type veth peer name up1', 'addr add 192.0.2.1/24 dev up0', 'link set up0 up');
  const bridge = {
    cniVersion: '1.1.0',
    name: 'net',
    type: 'bridge',
    isDefaultGateway: true,
    ipam: lab.ipam(),
  };
  const config = (port: number) => ({
    cniVersion: '1.1.0',
    name: 'net',
    type: 'portmap',
    runtimeConfig: { portMappings: [{ hostPort: 5353, containerPort: port, protocol: 'udp' }] },
  });
  const pods = [lab.pod(t), lab.pod(t), lab.pod(t)];
  const results: object[] = [];
  for (const [i, pod] of pods.entries())
    results.push((await lab.call('ADD', bridge, { pod, id: `p${i}` })).json);
  for (const [i, pod] of pods.slice(0, 2).entries()) {
    const script = `const s = require('node:dgram').createSocket('udp4'); s.on('message', (m, r) => s.send('pod ${i}', r.port, r.address)); s.bind(53, () => console.log('on'))`;
    await pod.launch([process.execPath, '-e', script]).saying(/on/);
  }
  // One flow, from one port: without forgetting it would go on to the first pod, or to the node itself.
  const ask = () =>
    pods[2]!
      .attempt([
        process.execPath,
        '-e',
        `const s = require('node:dgram').createSocket('udp4'); s.bind(40000, () => s.send('x', 5353, '192.0.2.1'));
       s.on('message', m => { console.log(String(m)); process.exit() }); setTimeout(() => process.exit(), 500)`,
      ])
      .stdout.trim();
  t.equal(ask(), '', 'no answer yet: conntrack has the flow as one to the node');
  for (const i of [0, 1]) {
    const network = { ...config(53), prevResult: results[i] };
    t.equal((await lab.call('ADD', network, { pod: pods[i], id: `p${i}` })).status, 0);
    t.equal(ask(), `pod ${i}`);
    t.equal((await lab.call('DEL', network, { pod: pods[i], id: `p${i}` })).text, '');
    t.equal(ask(), '', 'and no longer');
  }
});
