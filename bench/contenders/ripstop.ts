import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { CHECKOUT } from '../lab/gauge.ts';
import { scratch } from '../lab/namespace.ts';
import type { Proc } from '../lab/proc.ts';
import type { Lab, Node } from '../lab/topology.ts';
import { until } from '../lab/until.ts';
import type { Contender, Laid, Wish } from './contender.ts';

export interface RipstopOptions {
  mode: 'vxlan' | 'udp';
  /** Merged into every node's configuration: `{ offloads: { udpGso: false } }`. */
  configuration?: Record<string, unknown>;
  /** The nodes leave inner checksums open for each other. */
  remoteChecksum?: boolean;
  /** Column title when it is not the mode's. */
  label?: string;
}

const MAIN = `${CHECKOUT}dist/src/cli/main.js`;
const READY_MS = 15_000;

/** `ripstop run --config` on every node, each with all the others as static peers. */
export function ripstop(options: RipstopOptions): Contender {
  return {
    label: options.label ?? 'Ripstop',
    obstacle: () => (existsSync('/dev/net/tun') ? undefined : 'no /dev/net/tun here (modprobe tun)'),
    lay: (lab, wish) => layRipstop(lab, wish, options),
  };
}

async function layRipstop(lab: Lab, wish: Wish, options: RipstopOptions): Promise<Laid> {
  const device = options.mode === 'vxlan' ? 'flannel.1' : 'flannel0';
  const running: { proc: Proc; log: string }[] = [];
  const stop = async () => {
    await Promise.all(running.splice(0).map(({ proc }) => proc.stop()));
  };
  try {
    for (const node of lab.nodes) {
      const stem = `${scratch()}/${node.ns.name}-${options.mode}`;
      writeFileSync(
        `${stem}.json`,
        `${JSON.stringify(nodeConfiguration(node, lab, wish, options), null, 2)}\n`,
      );
      const log = `${stem}.log`;
      const proc = node.ns.launch([process.execPath, MAIN, 'run', '--config', `${stem}.json`], { log });
      running.push({ proc, log });
    }
    for (const { proc, log } of running) {
      await until(`${log} to say that it is ready`, () => isReady(proc, log), READY_MS);
    }
    const mtu = deviceMtu(lab.nodes[0]!, device);
    lab.podMtu(mtu);
    return { mtu, stop, keep: () => running.forEach(({ proc }) => void proc.release()) };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Keys: docs/configuration.md. MACs, ports and the device's name are left to Ripstop. JSON is YAML. */
function nodeConfiguration(node: Node, lab: Lab, { underlay }: Wish, options: RipstopOptions): object {
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
