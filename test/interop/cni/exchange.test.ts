import { createHash } from 'node:crypto';
import { mkdirSync, symlinkSync } from 'node:fs';
import t, { type Test } from 'tap';
import { Namespace } from '../../../src/lab/namespace.ts';
import { CniNode } from '../../fixtures/cni/cni.ts';
import { answerOf } from '../../fixtures/cni/port-answer.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

/*
 * The plugins of a node are exchanged while pods run: ours for the reference's (Debian's containernetworking-plugins), the
 * reference's for ours, one back end for the other. What the first wired the second takes away, so that the next pod with
 * the same address inherits neither a host port nor masquerading.
 */

const GO = '/usr/lib/cni';
const skip = skipUnless(
  'root',
  'netns',
  'ip',
  'nft',
  'iptables',
  `${GO}/ptp`,
  `${GO}/portmap`,
  `${GO}/host-local`,
);
const skipLegacy = skip || skipUnless('iptables-legacy', 'ip6tables-legacy');

type Maker = 'ours' | 'theirs';
// biome-ignore lint/suspicious/noExplicitAny: answers are compared member by member
type Answer = { code: number; json: any; stdout: string };

const NETWORK = { cniVersion: '1.0.0', name: 'n' };
const MAPPING = { hostPort: 8080, containerPort: 80, protocol: 'tcp' };
const OUTSIDE = { 4: '192.0.2.1', 6: 'fd00:2::1' } as const;
/** Names of the chains that an attachment of the reference has. */
const LEFT = /CNI-DN-|CNI-[0-9a-f]{24}|comment "rs|masquerade comment|cni-br-iface/;

function setUp(t: Test, more: { path?: string } = {}) {
  const lab = new CniNode(t);
  const outside = Namespace.create();
  t.teardown(() => outside.remove());
  lab.node.ip(
    'link set lo up',
    `link add up0 type veth peer name up1 netns ${outside.name}`,
    'addr add 192.0.2.1/24 dev up0',
    'addr add fd00:2::1/64 dev up0 nodad',
    'link set up0 up',
  );
  outside.ip('addr add 192.0.2.2/24 dev up1', 'addr add fd00:2::2/64 dev up1 nodad', 'link set up1 up');
  // One address per family: the next pod gets that of the one before.
  const ranges = [
    [{ subnet: '10.1.0.0/24', rangeStart: '10.1.0.2', rangeEnd: '10.1.0.2' }],
    [{ subnet: 'fd00:1::/64', rangeStart: 'fd00:1::2', rangeEnd: 'fd00:1::2' }],
  ];
  const routes = [{ dst: '0.0.0.0/0' }, { dst: '::/0' }];
  const ptp = { ...NETWORK, type: 'ptp', ipMasq: true, ipam: lab.ipam({ ranges, routes }) };
  const portmap = { ...NETWORK, type: 'portmap', capabilities: { portMappings: true } };
  const exec = async (
    maker: Maker,
    command: string,
    config: { type: string },
    id: string,
    pod?: Namespace,
  ): Promise<Answer> => {
    if (maker === 'ours') {
      const { status, text, json } = await lab.call(command, config, { id, pod });
      return { code: status, stdout: text, json };
    }
    const path = GO;
    const variables = [
      ...(more.path ? [`PATH=${more.path}:${process.env.PATH}`] : []),
      `CNI_COMMAND=${command}`,
      `CNI_CONTAINERID=${id}`,
      `CNI_NETNS=${pod?.path ?? ''}`,
      'CNI_IFNAME=eth0',
      `CNI_PATH=${path}`,
    ];
    const { code, stdout } = lab.node.attempt(
      ['env', ...variables, `${path}/${config.type}`],
      JSON.stringify(config),
    );
    return { code, stdout, json: stdout === '' ? undefined : JSON.parse(stdout) };
  };
  const ports = (portMappings: object[]) => ({ runtimeConfig: { portMappings } });
  return {
    lab,
    exec,
    ptp,
    portmap,
    /** A pod with a server on port 80; `withPort`: host port 8080 leads to it. */
    async wire(
      maker: Maker,
      id: string,
      withPort: boolean,
      changes: { ptp?: object; portmap?: object } = {},
    ) {
      const pod = lab.pod(t);
      const mapped = { ...portmap, ...changes.portmap, ...ports(withPort ? [MAPPING] : []) };
      const main = { ...ptp, ...changes.ptp };
      const first = await exec(maker, 'ADD', main, id, pod);
      t.equal(first.code, 0, `${maker} ptp ADD ${id}: ${first.code ? first.stdout : ''}`);
      const prevResult = first.json;
      const second = await exec(maker, 'ADD', { ...mapped, prevResult } as typeof mapped, id, pod);
      t.equal(second.code, 0, `${maker} portmap ADD ${id}: ${second.code ? second.stdout : ''}`);
      const server = pod.launch([
        process.execPath,
        '-e',
        `require('node:net').createServer(s => s.end('${id}')).listen(80, '::', () => console.log('up'))`,
      ]);
      t.teardown(() => server.stop());
      await server.saying(/up/);
      return { pod, id, prevResult, mapped };
    },
    /** By the list as a runtime takes it down: last plugin first. */
    async unwire(
      maker: Maker,
      { id, pod, prevResult, mapped }: Wired,
      changes: { portmap?: object; ptp?: object } = {},
    ) {
      for (const config of [
        { ...mapped, ...changes.portmap, prevResult },
        { ...ptp, ...changes.ptp, prevResult },
      ]) {
        const { code, stdout } = await exec(maker, 'DEL', config as { type: string }, id, pod);
        t.equal(code, 0, `${maker} ${(config as { type: string }).type} DEL ${id}: ${stdout}`);
      }
    },
    /** The pod that answers on the host port, asked from another machine; '' for no answer. */
    ask: (family: 4 | 6) => answerOf(outside, OUTSIDE[family], 8080),
    rules: () =>
      [
        'iptables-nft-save',
        'ip6tables-nft-save',
        ...(skipLegacy ? [] : ['iptables-legacy-save', 'ip6tables-legacy-save']),
      ]
        .map(program => lab.node.attempt([program]).stdout)
        .concat(lab.node.must(['nft', 'list', 'ruleset']))
        .join('\n'),
  };
}

interface Wired {
  id: string;
  pod: Namespace;
  prevResult: object;
  mapped: { type: string };
}

for (const way of ['DEL', 'GC'] as const)
  t.test(
    `the reference wired a pod, no back end named: our ${way} leaves no port to the next`,
    { skip },
    async t => {
      const { wire, unwire, ask, rules, exec, ptp, portmap } = setUp(t);
      const first = await wire('theirs', 'first', true);
      for (const family of [4, 6] as const) t.equal(ask(family), 'first', `IPv${family}`);
      const check = { ...first.mapped, prevResult: first.prevResult };
      t.equal(
        (await exec('ours', 'CHECK', check, 'first', first.pod)).stdout,
        '',
        'our CHECK accepts their host ports',
      );
      const main = { ...ptp, prevResult: first.prevResult };
      t.equal((await exec('ours', 'CHECK', main, 'first', first.pod)).stdout, '', 'and their masquerading');
      if (way === 'DEL') await unwire('ours', first);
      else {
        const none = { cniVersion: '1.1.0', 'cni.dev/valid-attachments': [] };
        for (const config of [portmap, ptp])
          t.equal((await exec('ours', 'GC', { ...config, ...none }, '')).stdout, '');
        first.pod.ip('link del eth0');
      }
      t.notMatch(rules(), LEFT);
      const second = await wire('ours', 'second', false);
      t.match(second.prevResult, { ips: [{ address: '10.1.0.2/24' }, { address: 'fd00:1::2/64' }] });
      for (const family of [4, 6] as const) t.equal(ask(family), '', `no answer, IPv${family}`);
      await unwire('ours', second);
      const third = await wire('ours', 'third', true);
      for (const family of [4, 6] as const)
        t.equal(ask(family), 'third', `the port is free again, IPv${family}`);
      await unwire('ours', third);
      t.notMatch(rules(), LEFT);
    },
  );

t.test(
  'we wired a pod, the reference (1.1) deleted it: our next ADD takes its host port away, our GC the rest',
  { skip },
  async t => {
    const { wire, unwire, ask, rules, exec, ptp } = setUp(t);
    const first = await wire('ours', 'first', true);
    for (const family of [4, 6] as const) t.equal(ask(family), 'first', `IPv${family}`);
    // Without its chain of IPv6 the reference's ptp (1.1) fails at its last step, behind address and link.
    for (const config of [{ ...first.mapped }, ptp])
      await exec('theirs', 'DEL', withResult(config, first), 'first', first.pod);
    t.notMatch(first.pod.ip('link show'), /eth0/);
    const second = await wire('ours', 'second', false);
    t.match(second.prevResult, { ips: [{ address: '10.1.0.2/24' }] });
    for (const family of [4, 6] as const) t.equal(ask(family), '', `no answer, IPv${family}`);
    await unwire('ours', second);
    const all = { ...ptp, cniVersion: '1.1.0', 'cni.dev/valid-attachments': [] };
    t.equal((await exec('ours', 'GC', all, '')).stdout, '');
    t.notMatch(rules(), LEFT);
  },
);

t.test('our iptables back end, then the reference: either DEL is complete', { skip }, async t => {
  const { wire, unwire, ask, rules } = setUp(t);
  const changes = { ptp: { ipMasqBackend: 'iptables' }, portmap: { backend: 'iptables' } };
  const first = await wire('ours', 'first', true, changes);
  t.equal(ask(4), 'first');
  await unwire('theirs', first);
  t.notMatch(rules(), LEFT);
  const second = await wire('theirs', 'second', false);
  for (const family of [4, 6] as const) t.equal(ask(family), '');
  await unwire('theirs', second);
});

for (const [from, to] of [
  ['nftables', 'iptables'],
  ['iptables', 'nftables'],
] as const)
  t.test(`the configuration changes from ${from} to ${to} while a pod runs`, { skip }, async t => {
    const { wire, unwire, ask, rules, exec, ptp } = setUp(t);
    const config = (backend: string) => ({ ptp: { ipMasqBackend: backend }, portmap: { backend } });
    const first = await wire('ours', 'first', true, config(from));
    const other = lab(first, config(to).portmap);
    t.equal((await exec('ours', 'CHECK', other, 'first', first.pod)).stdout, '', 'CHECK accepts either');
    const main = { ...ptp, ...config(to).ptp, prevResult: first.prevResult };
    t.equal((await exec('ours', 'CHECK', main, 'first', first.pod)).stdout, '');
    const taken = { ...first.mapped, ...config(to).portmap, prevResult: elsewhere(first.prevResult) };
    t.match((await exec('ours', 'ADD', taken, 'rival', first.pod)).json, {
      code: 100,
      msg: /8080\/tcp is taken/,
    });
    t.equal(ask(4), 'first', 'a refused ADD takes nothing away');
    await unwire('ours', first, { ...config(to), ptp: { ipMasq: false } });
    t.notMatch(rules(), LEFT, 'also where masquerading has been switched off since');
    const second = await wire('ours', 'second', false, config(to));
    for (const family of [4, 6] as const) t.equal(ask(family), '');
    await unwire('ours', second, config(to));
    t.notMatch(rules(), LEFT);
  });

const lab = (wired: Wired, changes: object) => ({
  ...wired.mapped,
  ...changes,
  prevResult: wired.prevResult,
});

const withResult = (config: { type: string }, { prevResult }: Wired): { type: string } =>
  Object.assign({ ...config }, { prevResult });

/** The result of a pod with other addresses. */
function elsewhere(result: object): object {
  const text = JSON.stringify(result).replaceAll('10.1.0.2', '10.1.0.9').replaceAll('fd00:1::2', 'fd00:1::9');
  return JSON.parse(text);
}

t.test('the reference wired with iptables-legacy: our DEL finds it', { skip: skipLegacy }, async t => {
  const folder = new CniNode(t).scratch;
  const path = `${folder}/legacy`;
  mkdirSync(path);
  for (const name of ['iptables', 'ip6tables'])
    for (const tail of ['', '-save', '-restore'])
      symlinkSync(`/usr/sbin/${name}-legacy${tail}`, `${path}/${name}${tail}`);
  const theirs = setUp(t, { path });
  const first = await theirs.wire('theirs', 'first', true);
  t.equal(theirs.ask(4), 'first');
  t.match(theirs.lab.node.must(['iptables-legacy-save', '-t', 'nat']), /CNI-DN-/);
  t.notMatch(theirs.lab.node.must(['iptables-nft-save', '-t', 'nat']), /CNI-DN-/);
  // With the iptables of this machine, which is the other variant.
  await theirs.unwire('ours', first);
  t.notMatch(theirs.rules(), LEFT);
  await theirs.wire('ours', 'second', false);
  for (const family of [4, 6] as const) t.equal(theirs.ask(family), '');
});

t.test("the reference's own rules in nftables, as its version 1.6 lays them out", { skip }, async t => {
  const { lab, wire, exec, ask, rules, ptp, unwire } = setUp(t);
  const first = await wire('ours', 'first', false);
  const sha = (text: string) => createHash('sha512').update(text).digest('hex').slice(0, 16);
  const comment = (id: string) => `${sha('n')}-${sha(`eth0:${id}`)}, net: n, if: eth0, id: ${id}`;
  const masquerade = ['first', 'living'].map(
    (id, i) =>
      `add rule inet cni_plugins_masquerade masq_checks ip saddr == 10.1.0.${i + 2} ip daddr != 10.1.0.0/24 masquerade comment "${comment(id)}"`,
  );
  const script = `
add table ip cni_hostport
add chain ip cni_hostport hostports
add chain ip cni_hostport hostip_hostports
add chain ip cni_hostport prerouting { type nat hook prerouting priority -100 ; }
add rule ip cni_hostport prerouting jump hostports
add rule ip cni_hostport hostports tcp dport 8080 dnat to 10.1.0.2:80 comment "first"
add rule ip cni_hostport hostports tcp dport 8081 dnat to 10.1.0.3:80 comment "living"
add table inet cni_plugins_masquerade
add chain inet cni_plugins_masquerade masq_checks
${masquerade.join('\n')}
`;
  lab.node.must(['nft', '-f', '-'], script);
  t.equal(ask(4), 'first');
  const mapped = { ...first.mapped, runtimeConfig: { portMappings: [{ ...MAPPING, hostIP: '0.0.0.0' }] } };
  const check = { ...mapped, prevResult: first.prevResult };
  t.equal((await exec('ours', 'CHECK', check, 'first', first.pod)).stdout, '');
  await unwire('ours', first);
  t.notMatch(rules(), /10\.1\.0\.2/);
  t.match(rules(), /10\.1\.0\.3:80 comment "living"/);
  t.match(rules(), /10\.1\.0\.3 .*masquerade/, 'another attachment keeps what it has');
  const living = [{ containerID: 'living', ifname: 'eth0' }];
  const gc = async (valid: object[]) => {
    const config = { ...ptp, cniVersion: '1.1.0', 'cni.dev/valid-attachments': valid };
    return (await exec('ours', 'GC', config, '')).stdout;
  };
  t.equal(await gc(living), '');
  t.match(rules(), /10\.1\.0\.3 .*masquerade/);
  t.equal(await gc([]), '');
  t.notMatch(rules(), /10\.1\.0\.3 .*masquerade/);
});

t.test(
  "the reference's guard against foreign MAC addresses: our CHECK accepts and our DEL removes it",
  { skip },
  async t => {
    const { lab, exec, rules } = setUp(t);
    const pod = lab.pod(t);
    const bridge = { ...NETWORK, type: 'bridge', bridge: 'b0', macspoofchk: true, ipam: lab.ipam() };
    const { code, json } = await exec('theirs', 'ADD', bridge, 'c1', pod);
    t.equal(code, 0, JSON.stringify(json));
    t.match(rules(), /cni-br-iface-c1-eth0-mac/);
    t.equal(
      (await exec('ours', 'CHECK', { ...bridge, prevResult: json } as typeof bridge, 'c1', pod)).stdout,
      '',
    );
    const off = { ...bridge, macspoofchk: false };
    t.equal((await exec('ours', 'DEL', off, 'c1', pod)).stdout, '');
    t.notMatch(rules(), /cni-br-iface|macspoofchk/);
    const own = lab.pod(t);
    t.equal((await exec('ours', 'ADD', bridge, 'c2', own)).code, 0);
    t.match(rules(), /comment "rs/);
    t.equal((await exec('ours', 'DEL', off, 'c2', own)).stdout, '');
    t.notMatch(rules(), LEFT);
  },
);

for (const [from, to] of [
  ['nftables', 'iptables'],
  ['iptables', 'nftables'],
] as const)
  t.test(`firewall: the configuration changes from ${from} to ${to} while a pod runs`, { skip }, async t => {
    const { wire, exec, rules } = setUp(t);
    const { pod, prevResult } = await wire('ours', 'first', false, { ptp: { ipMasq: false } });
    const firewall = (backend: string) => ({ ...NETWORK, type: 'firewall', backend, prevResult });
    t.equal((await exec('ours', 'ADD', firewall(from), 'first', pod)).code, 0);
    t.equal((await exec('ours', 'CHECK', firewall(to), 'first', pod)).stdout, '');
    t.equal((await exec('ours', 'DEL', firewall(to), 'first', pod)).stdout, '');
    t.notMatch(rules(), /10\.1\.0\.2/);
    t.match((await exec('ours', 'CHECK', firewall(to), 'first', pod)).json, { code: 999 });
  });
