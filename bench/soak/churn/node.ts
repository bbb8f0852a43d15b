import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Status } from '../../../src/api/answers.ts';
import { getJson } from '../../../src/api/client.ts';
import { installCni } from '../../../src/cni/install.ts';
import { Namespace } from '../../../src/lab/namespace.ts';
import type { Proc } from '../../../src/lab/proc.ts';
import type { Node } from '../../../src/lab/topology.ts';
import { PATIENCE_MS, until } from '../../../src/lab/until.ts';
import { CHECKOUT } from '../../lab/tool.ts';

export const HEALTH_PORT = 10_254;
export const WEB_PORT = 8473;
export const WEB_TOKEN = 'a-token-of-the-soak-test';

/** A pod that CNI wired. */
export interface SoakPod {
  readonly ns: Namespace;
  readonly id: string;
  readonly address: string;
}

interface AddResult {
  ips: { address: string }[];
}

/** One node of a churn run: `ripstop agent` with everything that it serves, and the pods that it wires. */
export class SoakNode {
  readonly node: Node;
  readonly socket: string;
  readonly log: string;
  /** Where the agent and its plugins keep files. */
  readonly folders: readonly string[];
  /** File in which the agent reports its heap; undefined: it was not started for that. */
  readonly report: string | undefined;
  readonly #root: string;
  readonly #flags: readonly string[];
  readonly #nodeFlags: readonly string[];
  #proc: Proc | undefined;
  #pods = 0;

  /** @param reportsHeap the agent collects its garbage when it is asked for its heap */
  constructor(node: Node, folder: string, flags: readonly string[], reportsHeap: boolean) {
    this.node = node;
    this.#root = join(folder, `n${node.index}`);
    const at = (name: string): string => join(this.#root, name);
    this.folders = ['state', 'calls', 'networks'].map(at);
    for (const path of this.folders) mkdirSync(path, { recursive: true });
    this.socket = at('state/agent.sock');
    this.log = at('log');
    this.report = reportsHeap ? at('heap.json') : undefined;
    this.#nodeFlags = reportsHeap
      ? ['--expose-gc', '--import', `${CHECKOUT}dist/bench/soak/churn/heap-report.js`]
      : [];
    writeFileSync(at('token'), `${WEB_TOKEN}\n`, { mode: 0o600 });
    this.#flags = [
      `--state-dir=${at('state')}`,
      `--subnet-file=${at('subnet.env')}`,
      `--cni-calls-dir=${at('calls')}`,
      `--node-name=node${node.index}`,
      '--iface=eth0',
      '--ip-masq',
      '--iptables-resync=1',
      '--probe-interval=2',
      `--healthz-port=${HEALTH_PORT}`,
      `--metrics-address=127.0.0.1:${HEALTH_PORT}`,
      `--web-port=${WEB_PORT}`,
      `--web-token-file=${at('token')}`,
      ...flags,
    ];
    installCni({ binDir: at('bin'), socket: at('state/cni.sock'), callsDir: at('calls') });
    this.#rememberSubnet();
  }

  /** A subnet.env as a former run would have left it, so that the node has the subnet that the lab names. */
  #rememberSubnet(): void {
    const { gateway } = this.node;
    writeFileSync(
      join(this.#root, 'subnet.env'),
      `FLANNEL_NETWORK=10.0.0.0/8\nFLANNEL_SUBNET=${gateway[4]}/24\n` +
        `FLANNEL_IPV6_NETWORK=fd00:10::/32\nFLANNEL_IPV6_SUBNET=${gateway[6]}/64\n`,
    );
  }

  get pid(): number {
    if (!this.#proc) throw new Error(`the agent of node ${this.node.index} does not run`);
    return this.#proc.pid;
  }

  start(): void {
    const argv = [process.execPath, ...this.#nodeFlags, `${CHECKOUT}dist/src/cli/main.js`, 'agent'];
    const env = this.report === undefined ? {} : { RIPSTOP_SOAK_REPORT: this.report };
    this.#proc = this.node.ns.launch([...argv, ...this.#flags], { log: this.log, env });
  }

  async stop(): Promise<void> {
    await this.#proc?.stop();
    this.#proc = undefined;
  }

  signal(signal: NodeJS.Signals): void {
    process.kill(this.pid, signal);
  }

  /** Waits until packets can flow to exactly so many peers. @throws Error with the end of the agent's log */
  async ready(peers: number): Promise<void> {
    let last: Status | undefined;
    try {
      await until(
        `node ${this.node.index} to be ready with ${peers} peers`,
        async () => {
          if (this.#proc?.result) throw this.#proc.failure('ECHILD', 'the agent ended');
          last = await getJson(this.socket, '/status').catch(() => undefined);
          return last?.ready === true && last.overlays.every(overlay => overlay.peers === peers);
        },
        PATIENCE_MS,
        50,
      );
    } catch (error) {
      const log = readFileSync(this.log, 'utf8').slice(-3000);
      throw new Error(`${error}\n${JSON.stringify(last)}\n${log}`);
    }
  }

  /** Wires a pod as a runtime does: a namespace, and the executable. */
  async addPod(): Promise<SoakPod> {
    const ns = Namespace.create();
    const id = `pod-${this.node.index}-${this.#pods++}`;
    try {
      const result = JSON.parse(await this.#call('ADD', id, ns.path)) as AddResult;
      return { ns, id, address: result.ips[0]!.address.split('/')[0]! };
    } catch (error) {
      ns.remove();
      throw error;
    }
  }

  async removePod({ ns, id }: SoakPod): Promise<void> {
    await this.#call('DEL', id, ns.path);
    ns.remove();
  }

  async #call(command: string, id: string, netns: string): Promise<string> {
    const bin = join(this.#root, 'bin');
    const config = {
      cniVersion: '1.0.0',
      name: 'pods',
      type: 'ripstop',
      subnetFile: join(this.#root, 'subnet.env'),
      ipam: { dataDir: join(this.#root, 'networks') },
      capabilities: { portMappings: true },
      runtimeConfig: {
        portMappings: [
          { hostPort: 20_000 + (this.#pods % 20_000), containerPort: 80, protocol: 'tcp' },
          { hostPort: 20_000 + (this.#pods % 20_000), containerPort: 53, protocol: 'udp' },
        ],
      },
    };
    const env = {
      CNI_COMMAND: command,
      CNI_CONTAINERID: id,
      CNI_NETNS: netns,
      CNI_IFNAME: 'eth0',
      CNI_PATH: bin,
    };
    const proc = this.node.ns.launch([join(bin, 'ripstop')], { env, input: JSON.stringify(config) });
    return proc.success();
  }
}
