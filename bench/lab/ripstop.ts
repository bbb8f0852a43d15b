import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import type { Contender, Laid, Wish } from './contender.ts';
import { CHECKOUT } from './gauge.ts';
import { scratch } from './namespace.ts';
import type { Proc } from './proc.ts';
import { type Lab, type Node, UNDERLAY_DEVICE } from './topology.ts';
import { until } from './until.ts';

export interface RipstopOptions {
  mode: 'vxlan' | 'udp';
  /** Merged into every node's configuration: `{ offloads: { udpGso: false } }`. */
  configuration?: Record<string, unknown>;
  /** Column title when it is not the mode's. */
  label?: string;
}

const MAIN = `${CHECKOUT}dist/src/cli/main.js`;
const READY_MS = 15_000;

/** A locally administered address that names the node. */
const vtepMac = (node: Node) => `0a:58:fd:00:00:${node.index.toString(16).padStart(2, '0')}`;

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
    return { mtu, device, stop, keep: () => running.forEach(({ proc }) => void proc.release()) };
  } catch (error) {
    await stop();
    throw error;
  }
}

function nodeConfiguration(
  node: Node,
  lab: Lab,
  { underlay, condition }: Wish,
  options: RipstopOptions,
): object {
  const vxlan = options.mode === 'vxlan';
  return {
    mode: options.mode,
    device: vxlan ? 'flannel.1' : 'flannel0',
    interface: UNDERLAY_DEVICE,
    address: node.underlay[underlay],
    port: vxlan ? 8472 : 8285,
    ...(vxlan ? { mac: vtepMac(node) } : {}),
    condition,
    tunnel: node.tunnel,
    subnets: [node.subnet[4], node.subnet[6]],
    peers: lab.nodes
      .filter(peer => peer !== node)
      .map(peer => ({
        id: `node${peer.index}`,
        address: peer.underlay[underlay],
        ...(vxlan ? { mac: vtepMac(peer) } : {}),
        subnets: [peer.subnet[4], peer.subnet[6]],
        tunnel: peer.tunnel,
      })),
    ...options.configuration,
  };
}

function isReady(proc: Proc, log: string): boolean {
  const said = readFileSync(log, 'utf8');
  if (proc.result !== undefined) throw proc.failure('ECHILD', `ended early\n${said.slice(-2000)}`);
  return /ready/.test(said);
}

function deviceMtu(node: Node, device: string): number {
  return Number(/mtu (\d+)/.exec(node.ns.must(['ip', 'link', 'show', device]))![1]);
}
