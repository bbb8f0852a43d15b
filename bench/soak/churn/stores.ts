import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { formatAttributes } from '../../../src/agent/lease/lease.ts';
import { attempt } from '../../../src/lab/command.ts';
import type { Proc } from '../../../src/lab/proc.ts';
import type { Lab } from '../../../src/lab/topology.ts';
import { PATIENCE_MS, until } from '../../../src/lab/until.ts';
import { CHECKOUT } from '../../lab/tool.ts';
import type { KubeCommand } from './kube-server.ts';
import type { Foreign } from './peers.ts';

export const STORES = ['file', 'etcd', 'kubernetes'] as const;
export type StoreKind = (typeof STORES)[number];

/** The store of a churn run, as the bench changes it. */
export interface SoakStore {
  /** Flags of every agent. */
  readonly flags: readonly string[];
  configure(config: object): void | Promise<void>;
  /** Writes leases, new ones and others. */
  put(peers: readonly Foreign[]): void | Promise<void>;
  delete(peers: readonly Foreign[]): void | Promise<void>;
  /** Ends it; the agents are left without a store until `up`. */
  down(): void | Promise<void>;
  up(): void | Promise<void>;
  stop(): void | Promise<void>;
}

/** Why a kind of store cannot be used on this machine; undefined: it can. */
export function absentStore(kind: StoreKind): string | undefined {
  if (kind !== 'etcd' || attempt(['sh', '-c', 'command -v etcd etcdctl']).code === 0) return undefined;
  return 'etcd and etcdctl are not installed (apt-get install etcd-server etcd-client)';
}

/** Sets up a store that all nodes of the lab reach, with this configuration. */
export async function openStore(
  kind: StoreKind,
  lab: Lab,
  folder: string,
  config: object,
): Promise<SoakStore> {
  if (kind === 'file') return new FileSoakStore(folder, config);
  return kind === 'etcd' ? EtcdSoakStore.open(lab, folder, config) : KubeSoakStore.open(lab, folder, config);
}

class FileSoakStore implements SoakStore {
  readonly flags: readonly string[];
  readonly #path: string;

  constructor(folder: string, config: object) {
    this.#path = join(folder, 'store');
    this.flags = [`--store-path=${this.#path}`];
    mkdirSync(join(this.#path, 'subnets'), { recursive: true });
    this.configure(config);
  }

  configure(config: object): void {
    replace(join(this.#path, 'config.json'), JSON.stringify(config));
  }

  put(peers: readonly Foreign[]): void {
    for (const { key, attributes } of peers)
      writeFileSync(join(this.#path, 'subnets', key), formatAttributes(attributes));
  }

  delete(peers: readonly Foreign[]): void {
    for (const { key } of peers) rmSync(join(this.#path, 'subnets', key), { force: true });
  }

  /** As when the share on which it lies is unmounted. */
  down(): void {
    renameSync(this.#path, `${this.#path}.gone`);
  }

  up(): void {
    // What an agent wrote meanwhile is in no store.
    rmSync(this.#path, { recursive: true, force: true });
    renameSync(`${this.#path}.gone`, this.#path);
  }

  stop(): void {}
}

const ROOT = '/coreos.com/network';

/** A real etcd on the first node. */
class EtcdSoakStore implements SoakStore {
  readonly flags: readonly string[];
  readonly #lab: Lab;
  readonly #url: string;
  readonly #folder: string;
  #proc: Proc | undefined;

  private constructor(lab: Lab, folder: string) {
    this.#lab = lab;
    this.#url = `http://${lab.nodes[0]!.underlay[4]}:2379`;
    this.flags = [`--etcd-endpoints=${this.#url}`];
    this.#folder = join(folder, 'etcd');
  }

  static async open(lab: Lab, folder: string, config: object): Promise<EtcdSoakStore> {
    const store = new EtcdSoakStore(lab, folder);
    await store.up();
    await store.configure(config);
    return store;
  }

  async configure(config: object): Promise<void> {
    await this.#ctl(['put', `${ROOT}/config`, '--', JSON.stringify(config)]);
  }

  async put(peers: readonly Foreign[]): Promise<void> {
    for (const { key, attributes } of peers)
      await this.#ctl(['put', `${ROOT}/subnets/${key}`, '--', formatAttributes(attributes)]);
  }

  async delete(peers: readonly Foreign[]): Promise<void> {
    for (const { key } of peers) await this.#ctl(['del', `${ROOT}/subnets/${key}`]);
  }

  async down(): Promise<void> {
    const proc = this.#proc;
    this.#proc = undefined;
    await proc?.stop('SIGKILL');
  }

  async up(): Promise<void> {
    const argv = ['etcd', '--name', 'soak', '--data-dir', this.#folder];
    const urls = ['--listen-client-urls', this.#url, '--advertise-client-urls', this.#url];
    this.#proc = this.#ns.launch([...argv, ...urls, '--logger', 'zap', '--log-level', 'error']);
    await until('etcd to answer', () => this.#ctl(['endpoint', 'health']).then(() => true), PATIENCE_MS, 100);
  }

  async stop(): Promise<void> {
    await this.down();
  }

  get #ns() {
    return this.#lab.nodes[0]!.ns;
  }

  /** Not blocking: the bench reads the output of its other programs meanwhile. */
  async #ctl(words: readonly string[]): Promise<string> {
    const argv = ['env', 'ETCDCTL_API=3', 'etcdctl', '--endpoints', this.#url, '--dial-timeout=2s'];
    return this.#ns.launch([...argv, ...words]).success();
  }
}

/** The tests' API server in a process of its own on the first node. */
class KubeSoakStore implements SoakStore {
  readonly flags: readonly string[];
  readonly #socket: string;
  readonly #config: string;
  readonly #proc: Proc;

  private constructor(proc: Proc, url: string, socket: string, config: string) {
    this.#proc = proc;
    this.#socket = socket;
    this.#config = config;
    this.flags = ['--kube-subnet-mgr', `--kube-api-url=${url}`, `--net-config-path=${config}`];
  }

  static async open(lab: Lab, folder: string, config: object): Promise<KubeSoakStore> {
    const [first] = lab.nodes;
    const socket = join(folder, 'kube.sock');
    const program = `${CHECKOUT}dist/bench/soak/churn/kube-server.js`;
    const proc = first!.ns.launch([process.execPath, program, first!.underlay[4], socket]);
    const [, url] = await proc.saying(/^listening (\S+)$/m);
    const store = new KubeSoakStore(proc, url!, socket, join(folder, 'net-conf.json'));
    store.configure(config);
    await store.#do(
      lab.nodes.map(({ index, subnet }) => ({
        do: 'add',
        name: `node${index}`,
        podCIDRs: [subnet[4], subnet[6]],
      })),
    );
    return store;
  }

  configure(config: object): void {
    replace(this.#config, JSON.stringify(config));
  }

  async put(peers: readonly Foreign[]): Promise<void> {
    await this.#do(peers.map(peer => ({ do: 'put', peer })));
  }

  async delete(peers: readonly Foreign[]): Promise<void> {
    await this.#do(peers.map(({ name }) => ({ do: 'delete', name })));
  }

  async down(): Promise<void> {
    await this.#do([{ do: 'down' }]);
  }

  async up(): Promise<void> {
    await this.#do([{ do: 'up' }]);
  }

  async stop(): Promise<void> {
    await this.#proc.stop();
  }

  async #do(commands: readonly KubeCommand[]): Promise<void> {
    const text = await new Promise<string>((resolve, reject) => {
      const call = request({ socketPath: this.#socket, method: 'POST', agent: false }, response => {
        let said = '';
        response.setEncoding('utf8').on('data', chunk => {
          said += chunk;
        });
        response.on('end', () => resolve(said));
      });
      call.on('error', reject);
      call.end(JSON.stringify(commands));
    });
    if (text !== '') throw new Error(`the API server of the soak: ${text}`);
  }
}

/** No reader ever sees half of a file. */
function replace(path: string, text: string): void {
  writeFileSync(`${path}.new`, text);
  renameSync(`${path}.new`, path);
}
