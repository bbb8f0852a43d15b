import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { scratch } from '../namespace.ts';
import type { Proc } from '../proc.ts';
import type { Lab, Node } from '../topology.ts';
import { until } from '../until.ts';
import type { Deployment, DeployOptions } from './deployment.ts';

export interface RipstopOptions {
  mode: 'vxlan' | 'udp';
  /** Merged into every node's configuration: `{ offloads: { udpGso: false } }`. */
  configuration?: Record<string, unknown>;
  /** The nodes leave inner checksums open for each other. */
  remoteChecksum?: boolean;
  /** Path of the program `ripstop`, as Node runs it. */
  main: string;
  /** Peers are probed as often as by default; otherwise never, so that only what is tried or measured uses the network. */
  probes?: boolean;
  /** Flags of Node itself. */
  nodeFlags?: readonly string[];
}

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

/** Why no tunnel device can be made here, or undefined. */
export function noTunnelDevice(): string | undefined {
  return existsSync('/dev/net/tun') ? undefined : 'no /dev/net/tun here (modprobe tun)';
}

/** `ripstop run` on every node, each with all the others as static peers. */
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
      const flags = [`--state-dir=${stem}`, ...(options.probes ? [] : ['--probe-interval=0'])];
      const proc = node.ns.launch([...runtime, options.main, 'run', config, ...flags], { log });
      running.push({ proc, pid: proc.pid, config, log, socket });
    }
    for (const { proc, log } of running) {
      await until(`${log} to say that it is ready`, () => isReady(proc, log));
    }
    const mtu = Math.min(...lab.nodes.map(node => deviceMtu(node, device)));
    lab.podMtu(mtu);
    const processes = running.map(({ pid, config, log, socket }) => ({ pid, config, log, socket }));
    return { mtu, stop, processes, keep: () => running.forEach(({ proc }) => void proc.release()) };
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
  return Number(/mtu (\d+)/.exec(node.ns.must(['ip', 'link', 'show', device]))?.[1]);
}
