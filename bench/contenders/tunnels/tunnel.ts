import { attempt } from '../../../src/lab/command.ts';
import type { Proc } from '../../../src/lab/proc.ts';
import type { Lab, Node } from '../../../src/lab/topology.ts';
import { until } from '../../../src/lab/until.ts';
import type { MeasuredDeployment } from '../contender.ts';
import { builtVersion, findRival } from './built.ts';

/*
 * What the tunnels have in common that are a program on every node with a device of its own: start them, wait for the
 * devices, route the pod subnets over them as flannel would, end them.
 */

export interface TunnelOptions {
  /** Its name, or one name per node for a program that keeps state outside of its namespace. */
  device: string | ((node: Node) => string);
  /** 2: a TAP, on which the peer is a neighbour with a MAC. 3: a TUN. */
  layer: 2 | 3;
  mtu: number;
  /** Starts the program on a node; of several the last one makes the device. */
  start(node: Node): Proc | Proc[];
  /** What is done once the device is there, again and again until it says true. */
  configure?(node: Node): boolean | Promise<boolean>;
  /** Undone after the programs have ended. */
  restore?(node: Node): void;
}

const READY_MS = 20_000;
/** What the device of a node gets as its address (layer 2). */
export const macOf = (node: Node) => `0a:58:fc:00:00:${node.index.toString(16).padStart(2, '0')}`;

/** Lays a tunnel; ends what it started when that fails. */
export async function deployTunnel(lab: Lab, options: TunnelOptions): Promise<MeasuredDeployment> {
  const { mtu } = options;
  const started: Proc[] = [];
  const pids: number[] = [];
  const stop = async () => {
    await Promise.all(started.splice(0).map(proc => proc.stop('SIGTERM', 2_000)));
    for (const node of lab.nodes) {
      node.ns.attempt(['ip', 'link', 'delete', deviceOf(options, node)]);
      options.restore?.(node);
    }
  };
  try {
    for (const node of lab.nodes) {
      const device = deviceOf(options, node);
      const procs = [options.start(node)].flat();
      started.push(...procs);
      pids.push(procs.at(-1)!.pid);
      await until(
        `${device} of node ${node.index}`,
        async () => {
          const ended = procs.find(proc => proc.result !== undefined);
          if (ended) throw ended.failure('ECHILD', 'ended early');
          if (node.ns.attempt(['ip', 'link', 'show', device]).code !== 0) return false;
          return (await options.configure?.(node)) ?? true;
        },
        READY_MS,
      );
      route(lab, node, options);
    }
    lab.podMtu(mtu);
    // Some shake hands first: a tunnel stands when a pod gateway on the other side answers.
    for (const node of lab.nodes) {
      const echo = ['ping', '-c1', '-W1', otherOf(lab, node).gateway[4]];
      await until(
        `an answer through the tunnel to node ${node.index}`,
        () => node.ns.attempt(echo).code === 0,
        READY_MS,
      );
    }
    return { mtu, stop, pids };
  } catch (error) {
    await stop();
    throw error;
  }
}

const deviceOf = ({ device }: TunnelOptions, node: Node) =>
  typeof device === 'string' ? device : device(node);

function route(lab: Lab, node: Node, options: TunnelOptions): void {
  const { layer, mtu } = options;
  const device = deviceOf(options, node);
  const lines = [`link set ${device} mtu ${mtu}`];
  if (layer === 2) lines.push(`link set ${device} address ${macOf(node)}`);
  lines.push(`link set ${device} up`, `addr add ${node.tunnel[4]}/32 dev ${device}`);
  lines.push(`addr add ${node.tunnel[6]}/128 dev ${device} nodad`);
  for (const peer of lab.nodes) {
    if (peer === node) continue;
    for (const family of [4, 6] as const) {
      if (layer === 3) lines.push(`route replace ${peer.subnet[family]} dev ${device}`);
      else {
        lines.push(`neigh replace ${peer.tunnel[family]} lladdr ${macOf(peer)} dev ${device} nud permanent`);
        lines.push(`route add ${peer.subnet[family]} via ${peer.tunnel[family]} dev ${device} onlink`);
      }
    }
  }
  node.ns.ip(...lines);
}

/** The other node of a lab of two. */
export function otherOf(lab: Lab, node: Node): Node {
  return lab.nodes.find(candidate => candidate !== node)!;
}

/** Why a contender that needs commands is unavailable: undefined when all are there. @param packages of Debian */
export const needs = (packages: string, ...commands: string[]) =>
  lacking(`apt-get install ${packages}`, commands);

/** The same of commands that `npm run bench:rivals` builds. */
export const needsBuilt = (...commands: string[]) => lacking('npm run bench:rivals builds it', commands);

function lacking(remedy: string, commands: readonly string[]): () => string | undefined {
  return () => {
    const absent = commands.filter(command => findRival(command) === undefined);
    return absent.length === 0 ? undefined : `${absent.join(', ')} not installed (${remedy})`;
  };
}

/** Subnet and underlay address of every peer of `node`, as flat arguments. */
export function peerArguments(lab: Lab, node: Node, underlay: 4 | 6): string[] {
  const peers = lab.nodes.filter(peer => peer !== node);
  return peers.flatMap(peer => [
    peer.subnet[4],
    peer.underlay[underlay],
    peer.subnet[6],
    peer.underlay[underlay],
  ]);
}

/** Version of the module that was built here, else what the program prints; undefined without either. @param pattern its first group is the version */
export function versionBy(argv: readonly string[], pattern: RegExp): () => string | undefined {
  return () => {
    const [name = '', ...words] = argv;
    const path = findRival(name);
    if (path === undefined) return undefined;
    const built = builtVersion(name);
    if (built !== undefined) return built;
    const { stdout, stderr } = attempt([path, ...words]);
    return pattern.exec(stdout + stderr)?.[1];
  };
}
