import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Namespace } from '../../../bench/lab/namespace.ts';
import type { Proc } from '../../../bench/lab/proc.ts';
import type { Lab } from '../../../bench/lab/topology.ts';
import { until } from '../../../bench/lab/until.ts';

interface Owner {
  teardown(undo: () => unknown): void;
}

const ADDRESS = '172.31.0.254';

/** A real etcd on the switch of a lab of three nodes or more, where every node reaches it by the underlay. */
export class LabEtcd {
  readonly url = `http://${ADDRESS}:2379`;
  readonly #ns: Namespace;
  readonly #directory = mkdtempSync(join(tmpdir(), 'rs-etcd-'));
  #proc: Proc | undefined;

  private constructor(ns: Namespace) {
    this.#ns = ns;
  }

  static async start(t: Owner, lab: Lab): Promise<LabEtcd> {
    if (!lab.fabric) throw new Error('a lab of two nodes has no switch to put etcd on');
    const etcd = new LabEtcd(lab.fabric);
    t.teardown(async () => {
      await etcd.down();
      rmSync(etcd.#directory, { recursive: true, force: true });
    });
    lab.fabric.ip(`addr add ${ADDRESS}/24 dev br0`);
    await etcd.up();
    return etcd;
  }

  async up(): Promise<void> {
    const urls = ['--listen-client-urls', `http://0.0.0.0:2379`, '--advertise-client-urls', this.url];
    this.#proc = this.#ns.launch(['etcd', '--name', 'lab', '--data-dir', this.#directory, ...urls]);
    await until(
      'etcd to answer',
      () => this.#ns.attempt(this.#ctl('endpoint', 'health')).code === 0,
      60_000,
      100,
    );
  }

  async down(): Promise<void> {
    await this.#proc?.stop();
    this.#proc = undefined;
  }

  /** Takes the data away, after `down`: the next start is empty, under the same cluster id. */
  wipe(): void {
    rmSync(this.#directory, { recursive: true, force: true });
  }

  ctl(...words: string[]): string {
    return this.#ns.must(this.#ctl(...words)).trim();
  }

  put(key: string, value: string): void {
    this.ctl('put', key, '--', value);
  }

  /** Keys and values below a prefix. */
  read(prefix: string): Map<string, string> {
    const { kvs = [] } = JSON.parse(this.ctl('get', '-w', 'json', '--prefix', prefix)) as {
      kvs?: { key: string; value: string }[];
    };
    const text = (base64: string): string => Buffer.from(base64, 'base64').toString();
    return new Map(kvs.map(({ key, value }) => [text(key), text(value)]));
  }

  #ctl(...words: string[]): string[] {
    return [
      'env',
      'ETCDCTL_API=3',
      'etcdctl',
      '--endpoints',
      this.url,
      '--dial-timeout=1s',
      '--command-timeout=3s',
      ...words,
    ];
  }
}
