import { mkdirSync, readdirSync, readFileSync, symlinkSync } from 'node:fs';
import t, { type Test } from 'tap';
import { installCni } from '../../../src/cni/install.ts';
import type { Namespace } from '../../../src/lab/namespace.ts';
import { launch } from '../../../src/lab/proc.ts';
import { CniNode } from '../../fixtures/cni/cni.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

/*
 * Ours and the reference plugins (Debian's containernetworking-plugins) calling each other, as executables, in the
 * namespace of a node: either may delegate to the other, and both may work on one directory of addresses.
 */

const GO = '/usr/lib/cni';
const skip = skipUnless('root', 'netns', 'ip', 'nft', 'iptables', `${GO}/bridge`, `${GO}/host-local`);
/** Versions that the reference plugins of Debian 12 speak. */
const VERSIONS = ['0.1.0', '0.2.0', '0.3.0', '0.3.1', '0.4.0', '1.0.0'];

interface Setup {
  lab: CniNode;
  /** Directory of our executables. */
  own: string;
  /** A CNI_PATH with these plugins of each maker. */
  mix(name: string, ours: string[], theirs: string[]): string;
  /** Runs an executable in the node's namespace. */
  exec(
    file: string,
    command: string,
    config: object,
    at: { id: string; pod?: Namespace; path: string },
  ): Answer;
  held(): string[];
}
// biome-ignore lint/suspicious/noExplicitAny: answers are compared member by member
type Answer = { code: number; json: any; stdout: string };

function setUp(t: Test): Setup {
  const lab = new CniNode(t);
  const own = `${lab.scratch}/own`;
  installCni({ binDir: own, socket: `${lab.scratch}/no-agent`, standalone: true });
  return {
    lab,
    own,
    mix(name, ours, theirs) {
      const directory = `${lab.scratch}/${name}`;
      mkdirSync(directory);
      for (const plugin of ours) symlinkSync(`${own}/${plugin}`, `${directory}/${plugin}`);
      for (const plugin of theirs) symlinkSync(`${GO}/${plugin}`, `${directory}/${plugin}`);
      return directory;
    },
    exec(file, command, config, { id, pod, path }) {
      const variables = [
        `CNI_COMMAND=${command}`,
        `CNI_CONTAINERID=${id}`,
        `CNI_NETNS=${pod?.path ?? ''}`,
        'CNI_IFNAME=eth0',
        `CNI_PATH=${path}`,
      ];
      const { code, stdout } = lab.node.attempt(['env', ...variables, file], JSON.stringify(config));
      return { code, stdout, json: stdout === '' ? undefined : JSON.parse(stdout) };
    },
    held: () =>
      readdirSync(`${lab.scratch}/networks/net`)
        .filter(name => /^\d+\./.test(name))
        .sort(),
  };
}

const network = (lab: CniNode, cniVersion: string, type: string) => ({
  cniVersion,
  name: 'net',
  type,
  isGateway: true,
  isDefaultGateway: true,
  ipMasq: true,
  ipam: lab.ipam(),
});

for (const [what, wiring, ours, theirs] of [
  ['their bridge gives the address work to our host-local', 'bridge', ['host-local'], ['bridge']],
  ['our bridge gives the address work to their host-local', 'bridge', ['bridge'], ['host-local']],
  ['their ptp, our host-local', 'ptp', ['host-local'], ['ptp']],
  ['our ptp, their host-local', 'ptp', ['ptp'], ['host-local']],
] as const) {
  t.test(`${what}, in every version`, { skip }, async t => {
    const { lab, mix, exec, held } = setUp(t);
    const path = mix('mixed', [...ours], [...theirs]);
    for (const version of VERSIONS) {
      const pod = lab.pod(t);
      const config = network(lab, version, wiring);
      const file = `${path}/${wiring}`;
      const add = exec(file, 'ADD', config, { id: 'a', pod, path });
      t.equal(add.code, 0, `${version} ${add.code ? add.stdout : ''}`);
      pod.must(['ping', '-c1', '-W10', '10.1.0.1']);
      t.equal(held().length, 1);
      const withResult = version >= '0.4.0' ? { ...config, prevResult: add.json } : config;
      if (version >= '0.4.0') {
        t.equal(exec(file, 'CHECK', withResult, { id: 'a', pod, path }).stdout, '', `${version} CHECK`);
      }
      t.equal(exec(file, 'DEL', withResult, { id: 'a', pod, path }).stdout, '', `${version} DEL`);
      t.strictSame(held(), []);
      t.notMatch(pod.ip('link show'), /eth0/);
      pod.remove();
    }
  });
}

t.test('what one wired the other takes away: bridge and host-local, either way', { skip }, async t => {
  const { lab, own, exec, held } = setUp(t);
  for (const [first, second] of [
    [GO, own],
    [own, GO],
  ] as const) {
    const pod = lab.pod(t);
    const config = { ...network(lab, '1.0.0', 'bridge'), ipMasqBackend: 'iptables' };
    const add = exec(`${first}/bridge`, 'ADD', config, { id: 'a', pod, path: first });
    t.equal(add.code, 0, add.code ? add.stdout : '');
    const previous = { ...config, prevResult: add.json };
    t.equal(
      exec(`${second}/bridge`, 'CHECK', previous, { id: 'a', pod, path: second }).stdout,
      '',
      'CHECK by the other',
    );
    t.equal(exec(`${second}/bridge`, 'DEL', previous, { id: 'a', pod, path: second }).stdout, '');
    t.strictSame(held(), []);
    t.notMatch(pod.ip('link show'), /eth0/);
    t.notMatch(lab.node.must(['iptables-save', '-t', 'nat']), /CNI-[0-9a-f]{24}/, 'the masquerading as well');
  }
});

t.test(
  'what their portmap and firewall made, ours takes away, and the other way round',
  { skip },
  async t => {
    const { lab, own, exec } = setUp(t);
    const nat = () => lab.node.must(['iptables-save', '-t', 'nat']);
    const filter = () => lab.node.must(['iptables-save', '-t', 'filter']);
    for (const [first, second] of [
      [GO, own],
      [own, GO],
    ] as const) {
      const pod = lab.pod(t);
      const bridge = network(lab, '1.0.0', 'bridge');
      const prevResult = exec(`${own}/bridge`, 'ADD', bridge, { id: 'a', pod, path: own }).json;
      const runtimeConfig = { portMappings: [{ hostPort: 8080, containerPort: 80, protocol: 'tcp' }] };
      const portmap = {
        cniVersion: '1.0.0',
        name: 'net',
        type: 'portmap',
        backend: 'iptables',
        runtimeConfig,
        prevResult,
      };
      const firewall = {
        cniVersion: '1.0.0',
        name: 'net',
        type: 'firewall',
        backend: 'iptables',
        prevResult,
      };
      for (const config of [portmap, firewall]) {
        const add = exec(`${first}/${config.type}`, 'ADD', config, { id: 'a', pod, path: first });
        t.equal(add.code, 0, add.code ? add.stdout : config.type);
      }
      t.match(nat(), /-A CNI-DN-[0-9a-f]{21} .*--to-destination 10\.1\.0\.\d+:80/);
      t.match(filter(), /-A CNI-FORWARD -s 10\.1\.0\.\d+\/32 .*-j ACCEPT/);
      for (const config of [firewall, portmap]) {
        t.equal(exec(`${second}/${config.type}`, 'DEL', config, { id: 'a', pod, path: second }).stdout, '');
      }
      t.notMatch(nat(), /CNI-DN-/);
      // Their DEL looks for a rule word by word, and ours carries a comment; it is ours to take away.
      if (second === GO) exec(`${own}/firewall`, 'DEL', firewall, { id: 'a', pod, path: own });
      t.notMatch(filter(), /10\.1\.0\.\d+/);
      exec(`${own}/bridge`, 'DEL', bridge, { id: 'a', pod, path: own });
    }
  },
);

t.test('one directory of addresses, used by both in turn', { skip }, async t => {
  const { lab, own, exec, held } = setUp(t);
  const config = { cniVersion: '1.0.0', name: 'net', ipam: lab.ipam({ subnet: '10.1.0.0/28' }) };
  const call = (maker: string, command: string, id: string) =>
    exec(`${maker}/host-local`, command, config, { id, pod: lab.node, path: maker });
  const outside = (maker: string, command: string, id: string) => {
    // An address plugin never enters the namespace; a path that is none keeps both from comparing it with their own.
    const variables = [
      `CNI_COMMAND=${command}`,
      `CNI_CONTAINERID=${id}`,
      'CNI_NETNS=/some/where',
      'CNI_IFNAME=eth0',
      `CNI_PATH=${maker}`,
    ];
    const { code, stdout } = lab.node.attempt(
      ['env', ...variables, `${maker}/host-local`],
      JSON.stringify(config),
    );
    return { code, stdout, json: stdout === '' ? undefined : JSON.parse(stdout) };
  };
  t.match(
    call(own, 'ADD', 'x').json,
    { code: 8 },
    "the plugin's own namespace is refused before anything is done",
  );
  const makers = [own, GO];
  for (let i = 0; i < 13; i++) {
    const { json } = outside(makers[i % 2]!, 'ADD', `c${i}`);
    t.equal(
      json.ips?.[0].address,
      `10.1.0.${i + 2}/28`,
      `round robin goes on: ${makers[i % 2] === GO ? 'theirs' : 'ours'}`,
    );
  }
  for (const maker of makers)
    t.match(outside(maker, 'ADD', 'more').json, { msg: /no IP addresses available in range set/ });
  for (const maker of makers)
    t.match(outside(maker, 'ADD', 'c4').json, { msg: /duplicate allocation is not allowed/ });
  for (const maker of makers) t.equal(outside(maker, 'CHECK', 'c5').code, 0);
  for (let i = 0; i < 13; i++)
    t.equal(outside(makers[(i + 1) % 2]!, 'DEL', `c${i}`).stdout, '', 'the other one frees it');
  t.strictSame(held(), []);
  for (const maker of makers) t.equal(outside(maker, 'CHECK', 'c5').code, 1);
});

t.test('both at once on one directory: no address twice', { skip }, async t => {
  const { lab, own } = setUp(t);
  const config = JSON.stringify({ cniVersion: '1.0.0', name: 'net', ipam: lab.ipam() });
  const answers = await Promise.all(
    Array.from({ length: 24 }, async (_, i) => {
      const maker = i % 2 === 0 ? own : GO;
      const script = `printf %s '${config}' | CNI_COMMAND=ADD CNI_CONTAINERID=c${i} CNI_NETNS=/some/where CNI_IFNAME=eth0 CNI_PATH=${maker} ${maker}/host-local`;
      const proc = launch(['sh', '-c', script]);
      await proc.ended;
      return /"address": "([\d.]+)\/24"/.exec(proc.stdout)?.[1] ?? proc.stdout;
    }),
  );
  t.equal(new Set(answers).size, 24, [...answers].sort().join(' '));
  for (const [i, address] of answers.entries()) {
    t.equal(readFileSync(`${lab.scratch}/networks/net/${address}`, 'utf8'), `c${i}\r\neth0`);
  }
});
