import { existsSync, readdirSync } from 'node:fs';
import t from 'tap';
import type { Namespace } from '../../../src/lab/namespace.ts';
import { CniNode } from '../../fixtures/cni/cni.ts';
import { leftovers } from '../../fixtures/cni/cni-containerd.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

/*
 * A list of plugins as the runtime of the specification takes it (version 1.1, section 3; libcni and cnitool do the same): each
 * plugin gets the network's name and version, the previous result, and what its capabilities declare.
 */

const skip = skipUnless('root', 'netns', 'ip', 'nft', 'iptables', 'tc');

type Plugin = { type: string; capabilities?: Record<string, boolean>; [key: string]: unknown };
const CAPABLE: Readonly<Record<string, unknown>> = {
  portMappings: [{ hostPort: 8080, containerPort: 80, protocol: 'tcp' }],
  bandwidth: { ingressRate: 8e6, ingressBurst: 8e5, egressRate: 8e6, egressBurst: 8e5 },
};

class List {
  readonly #lab: CniNode;
  readonly #plugins: readonly Plugin[];
  /** The cached result of each container. */
  readonly results = new Map<string, object>();

  constructor(lab: CniNode, plugins: readonly Plugin[]) {
    this.#lab = lab;
    this.#plugins = plugins;
  }

  async #call(command: string, plugin: Plugin, id: string, pod: Namespace | undefined, more: object) {
    const { capabilities = {}, ...own } = plugin;
    const declared = Object.keys(capabilities).map(key => [key, CAPABLE[key]]);
    const runtimeConfig = id ? { runtimeConfig: Object.fromEntries(declared) } : {};
    const config = { cniVersion: '1.1.0', name: 'net', ...own, ...runtimeConfig, ...more };
    const { status, text, json } = await this.#lab.call(command, config, { id, pod });
    if (status !== 0) throw new Error(`${command} ${plugin.type}: ${text}`);
    return json;
  }

  async add(id: string, pod: Namespace): Promise<void> {
    let prevResult: object | undefined;
    for (const plugin of this.#plugins)
      prevResult = await this.#call('ADD', plugin, id, pod, prevResult ? { prevResult } : {});
    this.results.set(id, prevResult!);
  }

  async check(id: string, pod: Namespace): Promise<void> {
    const more = { prevResult: this.results.get(id) };
    for (const plugin of this.#plugins) await this.#call('CHECK', plugin, id, pod, more);
  }

  async del(id: string, pod: Namespace | undefined): Promise<void> {
    const more = { prevResult: this.results.get(id) };
    for (const plugin of [...this.#plugins].reverse()) await this.#call('DEL', plugin, id, pod, more);
    this.results.delete(id);
  }

  async status(): Promise<void> {
    for (const plugin of this.#plugins) await this.#call('STATUS', plugin, '', undefined, {});
  }

  /** Of the containers whose result is cached. */
  async gc(): Promise<void> {
    const valid = [...this.results.keys()].map(containerID => ({ containerID, ifname: 'eth0' }));
    for (const plugin of this.#plugins)
      await this.#call('GC', plugin, '', undefined, { 'cni.dev/valid-attachments': valid });
  }
}

t.test('a list of version 1.1.0: ADD, CHECK, STATUS, GC, DEL', { skip }, async t => {
  const lab = new CniNode(t);
  const list = new List(lab, [
    { type: 'bridge', isDefaultGateway: true, ipMasq: true, ipam: lab.ipam() },
    { type: 'portmap', capabilities: { portMappings: true } },
    { type: 'bandwidth', capabilities: { bandwidth: true } },
    { type: 'firewall', backend: 'iptables' },
    {
      type: 'tuning',
      sysctl: { 'net.ipv4.conf.IFNAME.arp_filter': '1' },
      mtu: 1400,
      dataDir: `${lab.scratch}/tuning`,
    },
    { type: 'sbr' },
  ]);
  const files = (name: string) =>
    existsSync(`${lab.scratch}/${name}`) ? readdirSync(`${lab.scratch}/${name}`) : [];
  const traces = () => [
    ...files('networks/net').filter(name => /^\d/.test(name)),
    ...files('tuning'),
    ...leftovers(lab.node),
    ...(lab.node.must(['iptables-save']).match(/^-A .*10\.1\.0\..*/gm) ?? []),
  ];
  await list.status();
  const pod = lab.pod(t);
  await list.add('c1', pod);
  await list.check('c1', pod);
  const wired = traces();
  await list.gc();
  t.strictSame(traces(), wired, 'GC keeps what is valid');
  await list.check('c1', pod);
  await list.del('c1', pod);
  t.strictSame(traces(), []);

  // A runtime that has forgotten a container: its namespace is gone, and only GC knows.
  const forgotten = lab.pod(t);
  await list.add('c2', forgotten);
  forgotten.remove();
  list.results.clear();
  await list.gc();
  t.strictSame(traces(), []);

  const pods = Array.from({ length: 10 }, (_, index) => ({ id: `p${index}`, pod: lab.pod(t) }));
  const plain = new List(lab, [
    { type: 'bridge', isDefaultGateway: true, ipMasq: true, ipam: lab.ipam() },
    { type: 'firewall', backend: 'iptables' },
    { type: 'sbr' },
  ]);
  await Promise.all(pods.map(one => plain.add(one.id, one.pod)));
  const given = [...plain.results.values()].map(
    result => (result as { ips: { address: string }[] }).ips[0]!.address,
  );
  t.equal(new Set(given).size, 10, given.join(' '));
  await Promise.all(pods.map(one => plain.check(one.id, one.pod)));
  await Promise.all(pods.map(one => plain.del(one.id, one.pod)));
  t.strictSame(traces(), []);
});
