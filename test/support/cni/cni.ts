import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Namespace } from '../../../bench/lab/namespace.ts';
import { RIPSTOP_MARK } from '../../../src/cni/delegate/find.ts';
import { loadPlugin, PLUGIN_NAMES } from '../../../src/cni/plugins.ts';
import { kernelNamespaces } from '../../../src/cni/skel/namespace.ts';
import type { Host } from '../../../src/cni/skel/plugin.ts';
import { run } from '../../../src/cni/skel/run.ts';

/*
 * A node and pods in namespaces of their own, and calls of plugins as a runtime makes them: from environment to
 * standard output, in this process, which the plugins take for the node's.
 */

interface Owner {
  teardown(undo: () => void): void;
}

export interface Answer {
  status: number;
  text: string;
  // biome-ignore lint/suspicious/noExplicitAny: answers are compared member by member
  json: any;
}

export class CniNode {
  readonly node: Namespace;
  /** Directory that goes with the test. */
  readonly scratch: string;
  /** CNI_PATH: every plugin of ours is found there and runs in this process. */
  readonly path: string;
  readonly log: string[] = [];
  readonly #host: Host;

  constructor(t: Owner) {
    this.node = Namespace.create();
    this.scratch = mkdtempSync(join(tmpdir(), 'rs-cni-'));
    this.path = join(this.scratch, 'bin');
    mkdirSync(this.path);
    for (const name of PLUGIN_NAMES) writeFileSync(join(this.path, name), RIPSTOP_MARK);
    this.#host = {
      clock: () => performance.now(),
      netns: this.node.path,
      namespaces: kernelNamespaces,
      log: line => void this.log.push(line),
      own: loadPlugin,
    };
    t.teardown(() => {
      this.node.remove();
      rmSync(this.scratch, { recursive: true, force: true });
    });
  }

  /** A namespace for a pod; its loopback is up, as sandboxes come. */
  pod(t: Owner): Namespace {
    const pod = Namespace.create();
    t.teardown(() => pod.remove());
    return pod;
  }

  /** A single plugin call. `pod` undefined: no CNI_NETNS. */
  async call(
    command: string,
    config: object,
    at: {
      id?: string;
      pod?: Namespace | string | undefined;
      ifname?: string;
      args?: string;
      path?: string;
    } = {},
  ): Promise<Answer> {
    const { type } = config as { type: string };
    const plugin = await loadPlugin(type);
    if (!plugin) throw new Error(`no plugin ${type}`);
    let text = '';
    const streams = {
      env: {
        ...process.env,
        CNI_COMMAND: command,
        CNI_CONTAINERID: at.id ?? 'c1',
        CNI_NETNS: typeof at.pod === 'string' ? at.pod : (at.pod?.path ?? ''),
        CNI_IFNAME: at.ifname ?? 'eth0',
        CNI_ARGS: at.args ?? '',
        CNI_PATH: at.path ?? this.path,
      },
      stdin: () => JSON.stringify(config),
      stdout: (part: string) => {
        text += part;
      },
      stderr: () => {},
    };
    const status = await run(plugin, streams, this.#host);
    return { status, text, json: text === '' ? undefined : JSON.parse(text) };
  }

  /** `ipam` of a host-local network with its files in the scratch directory. */
  ipam(ipam: object = { subnet: '10.1.0.0/24' }): object {
    return { type: 'host-local', dataDir: join(this.scratch, 'networks'), ...ipam };
  }
}
