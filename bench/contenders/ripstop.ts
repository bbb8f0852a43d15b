import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { scratch } from '../lab/namespace.ts';
import type { Proc } from '../lab/proc.ts';
import { CHECKOUT } from '../lab/tool.ts';
import type { Lab, Node } from '../lab/topology.ts';
import { until } from '../lab/until.ts';
import type { Contender, Deployment, DeployOptions } from './contender.ts';
import { type Audited, audited } from './fate.ts';

export interface RipstopOptions {
  mode: 'vxlan' | 'udp';
  /** Merged into every node's configuration: `{ offloads: { udpGso: false } }`. */
  configuration?: Record<string, unknown>;
  /** The nodes leave inner checksums open for each other. */
  remoteChecksum?: boolean;
  /** Column title when it is not the mode's. */
  label?: string;
  /** False: UDP is measured without an audit meanwhile. */
  audit?: boolean;
  /** Flags of Node itself. */
  nodeFlags?: readonly string[];
}

/** Two nodes as their agents set them up: each leaves inner checksums open for the other (docs/decisions/0003). */
export const AS_AGENTS_DO = { mode: 'vxlan', remoteChecksum: true } as const satisfies RipstopOptions;

/** Ripstop in place. */
export interface RipstopDeployment extends Deployment {
  /** One a node, in the lab's order. */
  processes: readonly RipstopProcess[];
}

export interface RipstopProcess {
  pid: number;
  config: string;
  log: string;
  /** What `ripstop capture --socket` takes. */
  socket: string;
}

const MAIN = `${CHECKOUT}dist/src/cli/main.js`;

/** `ripstop run` on every node, each with all the others as static peers. */
export function ripstop(options: RipstopOptions): Contender {
  return {
    label: options.label ?? 'Ripstop',
    unavailable: () => (existsSync('/dev/net/tun') ? undefined : 'no /dev/net/tun here (modprobe tun)'),
    deploy: (lab, request) => deployRipstop(lab, request, options),
  };
}

/** As the contender does, and tells of its processes. */
export async function deployRipstop(
  lab: Lab,
  request: DeployOptions,
  options: RipstopOptions,
): Promise<RipstopDeployment> {
  const device = options.mode === 'vxlan' ? 'flannel.1' : 'flannel0';
  const running: (RipstopProcess & { proc: Proc })[] = [];
  const stop = async () => {
    await Promise.all(running.splice(0).map(({ proc }) => proc.stop()));
  };
  try {
    for (const node of lab.nodes) {
      const stem = `${scratch()}/${node.ns.name}-${options.mode}`;
      const [config, log, socket] = [`${stem}.json`, `${stem}.log`, `${stem}/agent.sock`];
      const settings = nodeConfiguration(node, lab, request, options);
      writeFileSync(config, `${JSON.stringify(settings, null, 2)}\n`);
      const runtime = [process.execPath, ...(options.nodeFlags ?? [])];
      const flags = [`--state-dir=${stem}`, '--probe-interval=0'];
      const proc = node.ns.launch([...runtime, MAIN, 'run', config, ...flags], { log });
      running.push({ proc, pid: proc.pid, config, log, socket });
    }
    for (const { proc, log } of running) {
      await until(`${log} to say that it is ready`, () => isReady(proc, log));
    }
    const mtu = deviceMtu(lab.nodes[0]!, device);
    lab.podMtu(mtu);
    const processes = running.map(({ pid, config, log, socket }) => ({ pid, config, log, socket }));
    const [one, two] = lab.nodes.map((node, at): Audited => ({ node, socket: processes[at]!.socket }));
    return {
      ...{ mtu, stop, processes, keep: () => running.forEach(({ proc }) => void proc.release()) },
      ...(options.audit !== false && { audited: (seconds, task) => audited([one!, two!], seconds, task) }),
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Keys: docs/reference/configuration.md. MACs, ports and the device's name are left to Ripstop. JSON is YAML. */
function nodeConfiguration(
  node: Node,
  lab: Lab,
  { underlay }: DeployOptions,
  options: RipstopOptions,
): object {
  const subnetsOf = ({ subnet }: Node) => [subnet[4], subnet[6]];
  return {
    mode: options.mode,
    underlay: node.underlay[underlay],
    subnets: subnetsOf(node),
    peers: lab.nodes
      .filter(peer => peer !== node)
      .map(peer => ({
        name: `node${peer.index}`,
        address: peer.underlay[underlay],
        subnets: subnetsOf(peer),
        remoteChecksum: options.remoteChecksum ?? false,
      })),
    ...options.configuration,
  };
}

function isReady(proc: Proc, log: string): boolean {
  const said = readFileSync(log, 'utf8');
  if (proc.result !== undefined) throw proc.failure('ECHILD', `ended early\n${said.slice(-2000)}`);
  return /"ready":true/.test(said);
}

function deviceMtu(node: Node, device: string): number {
  return Number(/mtu (\d+)/.exec(node.ns.must(['ip', 'link', 'show', device]))![1]);
}
