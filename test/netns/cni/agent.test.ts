import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import t, { type Test } from 'tap';
import { CHECKOUT } from '../../../bench/lab/tool.ts';
import { CONF_NAME, installCni, uninstallCni } from '../../../src/cni/install.ts';
import { loadPlugin, PLUGIN_NAMES } from '../../../src/cni/plugins.ts';
import { serveCni } from '../../../src/cni/shim/serve.ts';
import { kernelNamespaces } from '../../../src/cni/skel/namespace.ts';
import { ALL_VERSIONS, isAtLeast } from '../../../src/cni/skel/version.ts';
import { must } from '../../../src/lab/command.ts';
import { until } from '../../../src/lab/until.ts';
import { CniNode } from '../../fixtures/cni/cni.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

const skip = skipUnless('root', 'netns', 'ip', 'nft');
// biome-ignore lint/suspicious/noExplicitAny: answers are compared member by member
type Answer = { code: number; json: any; stdout: string; stderr: string };

const ENV =
  'FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=10.244.3.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n';

/** A node whose agent is this process: it works in the node's namespace, the executables are started there. */
async function setUp(t: Test, options: { standalone?: boolean } = {}) {
  const lab = new CniNode(t);
  const socket = `${lab.scratch}/cni.sock`;
  const binDir = `${lab.scratch}/opt`;
  const subnetFile = `${lab.scratch}/subnet.env`;
  writeFileSync(subnetFile, ENV);
  const callsDir = `${lab.scratch}/calls`;
  installCni({ binDir, socket, callsDir, standalone: options.standalone ?? false });
  let trouble: string | undefined;
  const log: string[] = [];
  const host = {
    clock: () => performance.now(),
    netns: lab.node.path,
    namespaces: kernelNamespaces,
    log: (line: string) => void log.push(line),
    own: loadPlugin,
    agent: { trouble: () => trouble },
  };
  const start = () => serveCni(socket, host, callsDir);
  let server = await start();
  const stop = () => server.close();
  t.teardown(stop);
  const config = (cniVersion: string, runtimeConfig: object = {}) => ({
    cniVersion,
    name: 'pods',
    type: 'ripstop',
    subnetFile,
    ipam: { dataDir: `${lab.scratch}/networks` },
    capabilities: { portMappings: true, bandwidth: true },
    runtimeConfig,
  });
  const exec = async (
    command: string,
    network: object,
    at: { id?: string; pod?: { path: string } | undefined; plugin?: string } = {},
  ): Promise<Answer> => {
    const variables = [
      `CNI_COMMAND=${command}`,
      `CNI_CONTAINERID=${at.id ?? 'c1'}`,
      `CNI_NETNS=${at.pod?.path ?? ''}`,
      'CNI_IFNAME=eth0',
      `CNI_PATH=${binDir}`,
    ];
    // Not blocking: this process is the agent that has to answer.
    const input = `${lab.scratch}/stdin-${at.id ?? 'c1'}`;
    writeFileSync(input, JSON.stringify(network));
    const proc = lab.node.launch([
      'env',
      ...variables,
      'sh',
      '-c',
      `exec ${binDir}/${at.plugin ?? 'ripstop'} < ${input}`,
    ]);
    const { code } = await proc.ended;
    const { stdout, stderr } = proc;
    return { code: code ?? 255, stdout, stderr, json: stdout === '' ? undefined : JSON.parse(stdout) };
  };
  const held = () => {
    const directory = `${lab.scratch}/networks/pods`;
    return existsSync(directory) ? readdirSync(directory).filter(name => /^\d+\./.test(name)) : [];
  };
  const records = () =>
    existsSync(callsDir) ? readdirSync(callsDir).filter(name => name.endsWith('.call')) : [];
  return {
    lab,
    socket,
    callsDir,
    records,
    subnetFile,
    config,
    exec,
    held,
    log,
    stop,
    restart: async () => {
      server = await start();
    },
    setTrouble: (text: string | undefined) => {
      trouble = text;
    },
  };
}

t.test('the agent wires pods in every version, by the thin executable', { skip }, async t => {
  const { lab, config, exec, held } = await setUp(t);
  const runtime = {
    portMappings: [{ hostPort: 8080, containerPort: 80, protocol: 'tcp' }],
    bandwidth: { ingressRate: 8e6, ingressBurst: 8e5, egressRate: 8e6, egressBurst: 8e5 },
  };
  for (const version of ALL_VERSIONS) {
    const pod = lab.pod(t);
    const network = config(version, runtime);
    const add = await exec('ADD', network, { pod });
    t.equal(add.code, 0, `${version} ${add.code ? add.stdout : ''}`);
    if (isAtLeast(version, '0.3.0')) {
      const { interfaces, ips, routes } = add.json;
      t.match(
        interfaces.map((one: { name: string }) => one.name),
        ['cni0', /^veth/, 'eth0', /^bwp/],
      );
      t.match(ips, [{ address: /^10\.244\.3\.\d+\/24$/, gateway: '10.244.3.1', interface: 2 }]);
      t.strictSame(routes, [{ dst: '10.244.0.0/16' }, { dst: '0.0.0.0/0', gw: '10.244.3.1' }]);
    } else t.match(add.json, { cniVersion: version, ip4: { ip: /^10\.244\.3\.\d+\/24$/ } });
    pod.must(['ping', '-c1', '-W10', '10.244.3.1']);
    t.match(pod.ip('link show eth0'), /mtu 1450/, "the overlay's MTU");
    const rules = lab.node.must(['nft', 'list', 'ruleset']);
    t.match(rules, /tcp \. 8080 comment/);
    t.notMatch(rules, /masq_checks/, 'the agent masquerades, not the plugin');
    if (isAtLeast(version, '0.4.0')) {
      t.equal((await exec('CHECK', { ...network, prevResult: add.json }, { pod })).stdout, '');
      lab.node.must(['nft', 'flush', 'map', 'inet', 'ripstop_cni', 'hostports4']);
      t.match((await exec('CHECK', { ...network, prevResult: add.json }, { pod })).json, {
        msg: /host ports/,
      });
    }
    if (version === '1.1.0') t.equal((await exec('STATUS', network)).stdout, '');
    for (let round = 0; round < 2; round++) t.equal((await exec('DEL', network, { pod })).stdout, '');
    t.strictSame(held(), []);
    t.notMatch(lab.node.ip('link show'), /veth|bwp/);
    t.notMatch(lab.node.must(['nft', 'list', 'ruleset']), /comment/);
    pod.remove();
  }
});

t.test(
  'a standalone installation without an agent: ripstop answers 11 and 50, and deletes',
  { skip },
  async t => {
    const { lab, config, exec, held, stop, restart, setTrouble, subnetFile } = await setUp(t, {
      standalone: true,
    });
    const pod = lab.pod(t);
    const network = config('1.1.0', { portMappings: [{ hostPort: 8080, containerPort: 80 }] });
    t.equal((await exec('ADD', network, { pod })).code, 0);
    setTrouble('the overlay device is gone');
    t.match((await exec('STATUS', network)).json, { code: 51, msg: 'the overlay device is gone' });
    await stop();
    t.match((await exec('ADD', network, { pod: lab.pod(t), id: 'c2' })).json, {
      code: 11,
      msg: /agent of this node does not answer/,
    });
    t.match((await exec('STATUS', network)).json, { code: 50, msg: /does not answer/ });
    t.equal((await exec('DEL', network, { pod })).stdout, '');
    t.strictSame(held(), []);
    t.notMatch(pod.ip('link show'), /eth0/);
    t.notMatch(lab.node.must(['nft', 'list', 'ruleset']), /comment/);
    await restart();
    rmSync(subnetFile);
    t.match((await exec('ADD', network, { pod })).json, { code: 11, msg: /subnet\.env/ });
  },
);

t.test('no agent: DEL is recorded, and the next agent takes away what the pod had', { skip }, async t => {
  const { lab, config, exec, held, stop, restart, records, log } = await setUp(t);
  const network = config('1.1.0', { portMappings: [{ hostPort: 8080, containerPort: 80 }] });
  const pods = [lab.pod(t), lab.pod(t), lab.pod(t)] as const;
  for (const [i, pod] of pods.entries()) {
    const one = i === 0 ? network : config('1.1.0');
    t.equal((await exec('ADD', one, { pod, id: `p${i}` })).code, 0);
  }
  await stop();
  t.match((await exec('ADD', network, { pod: lab.pod(t), id: 'late' })).json, { code: 11 });
  for (const [i, pod] of pods.entries())
    t.equal((await exec('DEL', network, { pod, id: `p${i}` })).stdout, '');
  t.equal(records().length, 3);
  t.equal(held().length, 3, 'the executable deletes nothing');
  pods[1].remove();
  // Another pod at the path of one that is gone, as a runtime that numbers its pods may make it.
  const [, heir] = pods;
  must(['ip', 'netns', 'add', heir.name]);
  heir.ip('link add eth0 type veth peer name x0');
  await restart();
  await until('the record is completed', () => records().length === 0);
  t.strictSame(held(), [], log.join('\n'));
  t.notMatch(lab.node.must(['nft', 'list', 'ruleset']), /comment/);
  t.notMatch(lab.node.ip('link show'), /veth[0-9a-f]{8}/);
  t.notMatch(pods[0].ip('link show'), /eth0/);
  t.match(heir.ip('link show'), /eth0/, 'the namespace of another pod is left alone');
  t.equal((await exec('ADD', network, { pod: pods[2], id: 'p0' })).code, 0, 'its port and its name are free');
  t.equal((await exec('DEL', network, { pod: pods[2], id: 'p0' })).code, 0);
});

t.test('no agent: `ripstop cleanup` completes what was recorded', { skip }, async t => {
  const { lab, config, exec, held, stop, records, callsDir } = await setUp(t);
  const network = config('1.1.0', { portMappings: [{ hostPort: 8080, containerPort: 80 }] });
  const pod = lab.pod(t);
  t.equal((await exec('ADD', network, { pod })).code, 0);
  await stop();
  t.equal((await exec('DEL', network, { pod })).stdout, '');
  const files = [`--state-dir=${lab.scratch}/state`, `--subnet-file=${lab.scratch}/none`];
  const main = `${CHECKOUT}dist/src/cli/main.js`;
  const argv = [process.execPath, main, 'cleanup', ...files, `--cni-calls-dir=${callsDir}`];
  t.match(lab.node.must(argv), /^completed the recorded DEL of ripstop for eth0 of container c1/m);
  t.strictSame(held(), []);
  t.strictSame(records(), []);
  t.notMatch(lab.node.must(['nft', 'list', 'ruleset']), /comment/);
  t.notMatch(lab.node.ip('link show'), /veth/);
  t.match(lab.node.must(argv), /nothing to remove/);
  const folders = [
    `--bin-dir=${lab.scratch}/opt`,
    `--conf-dir=${lab.scratch}/net.d`,
    `--calls-dir=${callsDir}`,
  ];
  lab.node.must(['nft', 'add', 'table', 'inet', 'cni_plugins_masquerade']);
  const uninstalled = lab.node.must([process.execPath, main, 'cni', 'uninstall', '--rules', ...folders]);
  t.match(
    uninstalled,
    /removed nftables table inet ripstop_cni\nremoved nftables table inet cni_plugins_masquerade/,
  );
  t.equal(lab.node.must(['nft', 'list', 'tables']).trim(), '');
});

t.test('a later part fails: the earlier ones are taken back', { skip }, async t => {
  const { lab, config, exec, held } = await setUp(t);
  const ports = { portMappings: [{ hostPort: 8080, containerPort: 80 }] };
  t.equal((await exec('ADD', config('1.1.0', ports), { pod: lab.pod(t), id: 'a' })).code, 0);
  const pod = lab.pod(t);
  t.match((await exec('ADD', config('1.1.0', ports), { pod, id: 'b' })).json, {
    code: 100,
    msg: /8080\/tcp is taken/,
  });
  const bad = { portMappings: [{ hostPort: 9090, containerPort: 80 }], bandwidth: { ingressRate: 8000 } };
  t.match((await exec('ADD', config('1.1.0', bad), { pod, id: 'b' })).json, {
    code: 7,
    msg: 'if rate is set, burst must also be set',
  });
  t.strictSame(held(), ['10.244.3.2']);
  t.notMatch(pod.ip('link show'), /eth0/);
  t.notMatch(lab.node.must(['nft', 'list', 'ruleset']), /9090/);
  const gc = await exec('GC', { ...config('1.1.0'), 'cni.dev/valid-attachments': [] });
  t.equal(gc.stdout, '');
  t.strictSame(held(), []);
  t.notMatch(lab.node.must(['nft', 'list', 'ruleset']), /comment/);
  t.notMatch(lab.node.ip('link show'), /veth/);
});

t.test('unknown keys of our own plugin are refused with what was meant', { skip }, async t => {
  const { lab, config, exec } = await setUp(t);
  const refused = async (changes: object) =>
    (await exec('ADD', { ...config('1.1.0'), ...changes }, { pod: lab.pod(t) })).json;
  t.match(await refused({ birdge: 'x' }), {
    code: 7,
    msg: 'birdge: unknown key',
    details: 'did you mean "bridge"?',
  });
  t.match(await refused({ ipam: { datdir: 'x' } }), { code: 7, msg: 'ipam.datdir: unknown key' });
  t.match(await refused({ mtu: 1500 }), { code: 7, msg: /1500 is more than the overlay carries: 1450/ });
  t.match(await refused({ bridge: 'a/b' }), { code: 7, msg: /^bridge: / });
});

t.test(
  'a standalone installation, the agent ends during a DEL: the executable deletes itself',
  { skip },
  async t => {
    const { lab, config, exec, held, stop, socket, records } = await setUp(t, { standalone: true });
    const pod = lab.pod(t);
    t.equal((await exec('ADD', config('1.1.0'), { pod })).code, 0);
    await stop();
    const ends = createServer(one => one.once('data', () => one.destroy()));
    await new Promise<void>(done => ends.listen(socket, done));
    t.teardown(() => ends.close());
    t.match(await exec('DEL', config('1.1.0'), { pod }), { code: 0, stdout: '' });
    t.strictSame(held(), []);
    t.strictSame(records(), []);
  },
);

t.test('the standard chain goes through the agent, and standalone without it', { skip }, async t => {
  const { lab, subnetFile, exec, stop, held } = await setUp(t, { standalone: true });
  const flannel = {
    cniVersion: '1.1.0',
    name: 'pods',
    type: 'flannel',
    subnetFile,
    dataDir: `${lab.scratch}/flannel`,
    ipam: { dataDir: `${lab.scratch}/networks` },
  };
  const pods = [lab.pod(t), lab.pod(t)];
  for (const [i, pod] of pods.entries()) {
    if (i === 1) await stop();
    t.equal((await exec('ADD', flannel, { pod, id: `p${i}`, plugin: 'flannel' })).code, 0);
  }
  pods[0]!.must(['ping', '-c1', '-W10', '10.244.3.3']);
  for (const [i, pod] of pods.entries()) {
    t.equal((await exec('DEL', flannel, { pod, id: `p${i}`, plugin: 'flannel' })).stdout, '');
  }
  t.strictSame(held(), []);
});

t.test('a hundred pods at once through one agent', { skip }, async t => {
  const { lab, config, exec, held } = await setUp(t);
  const pods = Array.from({ length: 100 }, () => lab.pod(t));
  const port = (i: number) => ({ portMappings: [{ hostPort: 9000 + i, containerPort: 80 }] });
  const answers = await Promise.all(
    pods.map((pod, i) => exec('ADD', config('1.1.0', port(i)), { pod, id: `p${i}` })),
  );
  const given = answers.map(answer => answer.json.ips?.[0].address ?? answer.stdout);
  t.equal(new Set(given).size, 100, given.join(' '));
  t.equal(held().length, 100);
  const rules = lab.node.must(['nft', 'list', 'map', 'inet', 'ripstop_cni', 'hostports4']);
  t.equal(rules.match(/tcp \. 90\d\d/g)?.length, 100, 'no rule lost');
  const gone = await Promise.all(
    pods.map((pod, i) => exec('DEL', config('1.1.0', port(i)), { pod, id: `p${i}` })),
  );
  t.strictSame(gone.map(answer => answer.stdout).join(''), '');
  t.strictSame(held(), []);
  t.notMatch(lab.node.must(['nft', 'list', 'ruleset']), /comment/);
});

t.test('sixteen processes at once, standalone', { skip }, async t => {
  const { lab, exec, stop, held } = await setUp(t, { standalone: true });
  await stop();
  const ipam = { type: 'host-local', dataDir: `${lab.scratch}/networks`, subnet: '10.1.0.0/24' };
  const network = { cniVersion: '1.1.0', name: 'pods', type: 'bridge', isGateway: true, ipMasq: true, ipam };
  const pods = Array.from({ length: 16 }, () => lab.pod(t));
  const all = (command: string) =>
    Promise.all(pods.map((pod, i) => exec(command, network, { pod, id: `p${i}`, plugin: 'bridge' })));
  const given = (await all('ADD')).map(answer => answer.json.ips?.[0].address ?? answer.stdout);
  t.equal(new Set(given).size, 16, given.join(' '));
  t.equal(held().length, 16);
  const rules = lab.node.must(['nft', 'list', 'chain', 'inet', 'cni_plugins_masquerade', 'masq_checks']);
  t.equal(rules.match(/saddr 10\.1\.0\.\d+ .*masquerade comment/g)?.length, 16, 'no rule lost');
  t.strictSame((await all('DEL')).map(answer => answer.stdout).join(''), '');
  t.strictSame(held(), []);
  t.notMatch(lab.node.must(['nft', 'list', 'ruleset']), /comment/);
});

t.test('the socket: only for root, bad callers are turned away, others served', { skip }, async t => {
  const { socket, exec, lab, config, log } = await setUp(t);
  t.equal(statSync(socket).mode & 0o777, 0o600);
  const closed = (bytes: Buffer) =>
    new Promise<string>(done => {
      const client = connect(socket, () => client.write(bytes));
      let text = '';
      client.on('data', chunk => {
        text += chunk;
      });
      client.on('close', () => done(text)).on('error', () => done('error'));
    });
  t.equal(await closed(Buffer.from('GET / HTTP/1.1\r\n')), '');
  t.equal(await closed(Buffer.from('RSCNI1\n\xff\xff\xff\xff', 'latin1')), '', 'too large');
  t.equal(await closed(Buffer.from('RSCNI1\n\x04\0\0\0\x09\0\0\0', 'latin1')), '', 'a field that leads out');
  t.match(log, [/not a CNI request/, /too large/, /cut/]);
  t.equal((await exec('ADD', config('1.1.0'), { pod: lab.pod(t) })).code, 0);
});

t.test('install and uninstall: ours only, whole, twice', { skip: skipUnless('root') }, async t => {
  const lab = new CniNode(t);
  const binDir = `${lab.scratch}/opt`;
  const confDir = `${lab.scratch}/net.d`;
  mkdirSync(binDir);
  writeFileSync(`${binDir}/bridge`, 'third-party', { mode: 0o755 });
  const first = installCni({ binDir, confDir });
  t.strictSame(first.kept, [`${binDir}/bridge`]);
  t.equal(first.written.at(-1), `${confDir}/${CONF_NAME}`, 'the configuration comes last');
  t.strictSame(readdirSync(binDir).sort(), [...PLUGIN_NAMES].sort());
  t.equal(readFileSync(`${binDir}/bridge`, 'utf8'), 'third-party');
  t.equal(statSync(`${binDir}/flannel`).mode & 0o777, 0o755);
  t.match(JSON.parse(readFileSync(`${confDir}/${CONF_NAME}`, 'utf8')), {
    name: 'ripstop',
    plugins: [{ type: 'ripstop' }],
  });
  t.equal(installCni({ binDir, confDir }).written.length, PLUGIN_NAMES.length, 'again: the same');
  t.equal(installCni({ binDir, force: true }).kept.length, 0);
  // As `cp` does it: in place.
  writeFileSync(`${binDir}/vrf`, 'third-party');
  t.equal(uninstallCni({ binDir, confDir }).length, PLUGIN_NAMES.length, 'the others are still ours');
  t.strictSame(readdirSync(binDir), ['vrf']);
  t.strictSame(readdirSync(confDir), []);
  t.strictSame(uninstallCni({ binDir, confDir }), []);
});
