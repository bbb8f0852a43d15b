import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { get } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Ended, Proc } from '../../../bench/lab/proc.ts';
import { CHECKOUT } from '../../../bench/lab/tool.ts';
import type { Lab, Node } from '../../../bench/lab/topology.ts';
import { PATIENCE_MS, until } from '../../../bench/lab/until.ts';
import type { Answer, AnswerPath, Status } from '../../../src/api/answers.ts';
import { getJson } from '../../../src/api/client.ts';

interface Owner {
  teardown(undo: () => unknown): void;
}

/** One `ripstop agent` on a node of a lab. */
export class TestAgent {
  readonly node: Node;
  readonly socket: string;
  readonly subnetFile: string;
  readonly stateDir: string;
  readonly log: string;
  /** How the underlay is chosen. */
  iface: readonly string[] = ['--iface=eth0'];
  readonly #flags: readonly string[];
  #proc: Proc | undefined;

  constructor(node: Node, root: string, flags: readonly string[]) {
    this.node = node;
    this.stateDir = join(root, `node${node.index}`);
    mkdirSync(this.stateDir, { recursive: true });
    this.socket = join(this.stateDir, 'agent.sock');
    this.subnetFile = join(this.stateDir, 'subnet.env');
    this.log = join(root, `node${node.index}.log`);
    this.#flags = flags;
  }

  /** The pods of the lab already have addresses: writes a subnet.env as a previous run with their subnet would have left it. */
  rememberSubnet(): void {
    const [v4, v6] = [this.node.subnet[4], this.node.subnet[6]];
    writeFileSync(
      this.subnetFile,
      `FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=${v4.replace('.0/24', '.1/24')}\n` +
        `FLANNEL_IPV6_NETWORK=fd00:10:244::/48\nFLANNEL_IPV6_SUBNET=${v6.replace('::/64', '::1/64')}\n`,
    );
  }

  start(...more: string[]): void {
    this.#proc = this.node.ns.launch(this.#argv('agent', ...more), { log: this.log });
  }

  /** Starts it as root with these capabilities alone, as in `+net_admin`. */
  startWith(capabilities: readonly string[], ...more: string[]): void {
    const set = ['-all', ...capabilities].join(',');
    this.startBehind(['setpriv', '--bounding-set', set, '--inh-caps', set], ...more);
  }

  /** Starts it by another program, as `setpriv` or `nsenter` with their options. */
  startBehind(program: readonly string[], ...more: string[]): void {
    this.#proc = this.node.ns.launch([...program, ...this.#argv('agent', ...more)], { log: this.log });
  }

  /** What `ripstop plan` with the same flags says. */
  plan(): string {
    return this.node.ns.must(this.#argv('plan'));
  }

  #argv(command: string, ...more: string[]): string[] {
    const own = [
      `--state-dir=${this.stateDir}`,
      `--subnet-file=${this.subnetFile}`,
      `--cni-calls-dir=${this.stateDir}/calls`,
    ];
    const rest = [
      `--node-name=node${this.node.index}`,
      ...this.iface,
      '--iptables-resync=1',
      '--log-level=debug',
    ];
    return [
      process.execPath,
      `${CHECKOUT}dist/src/cli/main.js`,
      command,
      ...own,
      ...rest,
      ...this.#flags,
      ...more,
    ];
  }

  /** Ends it with a signal and waits. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    const proc = this.#proc;
    this.#proc = undefined;
    if (!proc) return;
    if (signal === 'SIGTERM') await proc.stop();
    else {
      proc.kill(signal);
      await proc.stop().catch(() => {});
    }
  }

  /** How the process that was started last ends. */
  get ended(): Promise<Ended> | undefined {
    return this.#proc?.ended;
  }

  signal(signal: NodeJS.Signals): void {
    if (this.#proc) process.kill(this.#proc.pid, signal);
  }

  async ask<P extends AnswerPath>(path: P, query = ''): Promise<Answer<P>> {
    return getJson(this.socket, path, { query });
  }

  /** Waits until it says that packets can flow to `peers` nodes. */
  async ready(peers: number, ms = PATIENCE_MS): Promise<Status> {
    let last: Status | undefined;
    try {
      await until(
        `node${this.node.index} to be ready with ${peers} peers`,
        async () => {
          last = await this.ask('/status').catch(() => undefined);
          return last?.ready === true && last.overlays.every(overlay => overlay.peers === peers);
        },
        ms,
      );
    } catch (error) {
      throw new Error(`${error}\n${JSON.stringify(last)}\n${readFileSync(this.log, 'utf8').slice(-4000)}`);
    }
    return last!;
  }
}

/** Agents for all nodes of a lab with one set of flags; ended with the test. Not started yet. */
export function agentsFor(
  t: Owner,
  lab: Lab,
  flags: readonly string[],
): { agents: TestAgent[]; root: string } {
  const root = mkdtempSync(join(tmpdir(), 'rs-agents-'));
  const agents = lab.nodes.map(node => new TestAgent(node, root, flags));
  t.teardown(async () => {
    await Promise.all(agents.map(agent => agent.stop('SIGKILL')));
    rmSync(root, { recursive: true, force: true });
  });
  return { agents, root };
}

/** A file store with a network configuration that fits the lab. */
export function fileStoreFor(
  t: Owner,
  config: Record<string, unknown> = {},
): { path: string; flags: string[]; write(config: Record<string, unknown>): void } {
  const path = mkdtempSync(join(tmpdir(), 'rs-net-'));
  t.teardown(() => rmSync(path, { recursive: true, force: true }));
  const write = (conf: Record<string, unknown>): void =>
    writeFileSync(
      join(path, 'config.json'),
      JSON.stringify({ Network: '10.244.0.0/16', Backend: { Type: 'vxlan' }, ...conf }),
    );
  write(config);
  return { path, flags: [`--store-path=${path}`], write };
}

/** Status and body of a GET inside a namespace is asked through the lab; this one is for loopback of the test itself. */
export async function fetchText(url: string): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    get(url, response => {
      let text = '';
      response.setEncoding('utf8').on('data', chunk => {
        text += chunk;
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, text }));
    }).on('error', reject);
  });
}
