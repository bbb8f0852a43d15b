import type { Family } from '../../encap/encap.ts';
import { RipstopError } from '../base/errors.ts';
import type { Deployment } from './deploy/deployment.ts';
import { deployKernelVxlan, noKernelVxlan } from './deploy/kernel-vxlan.ts';
import { deployRipstop, noTunnelDevice } from './deploy/ripstop.ts';
import { deployRoutes } from './deploy/routes.ts';
import { type LinkConditions, setLink } from './link.ts';
import { requirePrograms } from './programs.ts';
import { buildLab, type Lab } from './topology.ts';

/** What can join the nodes: Ripstop's tunnels, the kernel's, plain routes. */
export const LAB_MODES = ['vxlan', 'udp', 'kernel-vxlan', 'host-gw'] as const;
export type LabMode = (typeof LAB_MODES)[number];

export interface ExperimentOptions {
  nodes: number;
  /** Of each node. */
  pods: number;
  mode: LabMode;
  /** Family of the outer packets; the pods always have both. */
  underlay: Family;
  link: LinkConditions;
  /** Path of the program `ripstop`, as Node runs it. */
  main: string;
}

export interface LabPod {
  name: string;
  netns: string;
  ipv4: string;
  ipv6: string;
}

export interface LabNode extends LabPod {
  /** Path of the socket of its agent; null where Ripstop does not carry the packets. */
  socket: string | null;
  pods: LabPod[];
}

/** Nodes and pods that reach each other, with their names and addresses. */
export interface Experiment {
  /** Largest IP packet of a pod. */
  mtu: number;
  nodes: LabNode[];
  /** Ends the processes and removes the namespaces. */
  remove(): Promise<void>;
}

/**
 * Builds a lab, sets the conditions of its links, and joins the nodes. On an error nothing is left behind.
 * @throws RipstopError EPRIV, ECOMMAND, ENOTSUP
 */
export async function buildExperiment(options: ExperimentOptions): Promise<Experiment> {
  if (process.geteuid?.() !== 0)
    throw new RipstopError('EPRIV', 'network namespaces take root', 'run it with sudo');
  const needsTc = Object.keys(options.link).length > 0;
  requirePrograms(['ip', 'sysctl', ...(needsTc ? ['tc'] : [])]);
  const reason = obstacle(options.mode);
  if (reason !== undefined) throw new RipstopError('ENOTSUP', reason, 'choose another --mode');
  const lab = buildLab({ nodes: options.nodes, podsPerNode: options.pods });
  try {
    setLink(lab.nodes, options.link);
    const { deployment, sockets } = await deploy(lab, options);
    const remove = async () => {
      await deployment.stop();
      lab.remove();
    };
    return { mtu: deployment.mtu, nodes: describe(lab, sockets), remove };
  } catch (error) {
    lab.remove();
    throw error;
  }
}

function obstacle(mode: LabMode): string | undefined {
  if (mode === 'kernel-vxlan') return noKernelVxlan();
  return mode === 'host-gw' ? undefined : noTunnelDevice();
}

async function deploy(
  lab: Lab,
  { mode, underlay, main }: ExperimentOptions,
): Promise<{ deployment: Deployment; sockets: readonly string[] }> {
  if (mode === 'kernel-vxlan') return { deployment: deployKernelVxlan(lab, { underlay }), sockets: [] };
  if (mode === 'host-gw') return { deployment: deployRoutes(lab, { underlay }), sockets: [] };
  const deployment = await deployRipstop(lab, { underlay }, { mode, main, remoteChecksum: mode === 'vxlan' });
  return { deployment, sockets: deployment.processes.map(({ socket }) => socket) };
}

/** Pods are numbered through all nodes. */
function describe({ nodes }: Lab, sockets: readonly string[]): LabNode[] {
  let pod = 0;
  return nodes.map(({ ns, index, underlay, pods }) => ({
    ...{ name: `node${index}`, netns: ns.name, ipv4: underlay[4], ipv6: underlay[6] },
    socket: sockets[index - 1] ?? null,
    pods: pods.map(({ ns: { name: netns }, address }) => {
      pod++;
      return { name: `pod${pod}`, netns, ipv4: address[4], ipv6: address[6] };
    }),
  }));
}

/**
 * Variables by which a command finds nodes and pods: `LAB_POD1` is a namespace, `LAB_POD1_IPV4` and `LAB_POD1_IPV6` are its
 * addresses, `LAB_NODE1_SOCKET` is what `--socket` takes.
 */
export function labVariables({ nodes }: Pick<Experiment, 'nodes'>): Record<string, string> {
  const variables: Record<string, string> = {
    LAB_NODES: `${nodes.length}`,
    LAB_PODS: `${nodes.reduce((count, { pods }) => count + pods.length, 0)}`,
  };
  for (const place of nodes.flatMap(node => [node, ...node.pods])) {
    const name = `LAB_${place.name.toUpperCase()}`;
    variables[name] = place.netns;
    variables[`${name}_IPV4`] = place.ipv4;
    variables[`${name}_IPV6`] = place.ipv6;
  }
  for (const { name, socket } of nodes)
    if (socket !== null) variables[`LAB_${name.toUpperCase()}_SOCKET`] = socket;
  return variables;
}
