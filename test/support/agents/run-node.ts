import type { Namespace } from '../../../bench/lab/namespace.ts';
import type { Proc } from '../../../bench/lab/proc.ts';
import { CHECKOUT } from '../../../bench/lab/tool.ts';
import type { Node } from '../../../bench/lab/topology.ts';

export const MAIN = `${CHECKOUT}dist/src/cli/main.js`;

/** A configuration as a JSON object; JSON is YAML. */
export type Configuration = Record<string, unknown>;

/** The configuration of `node` with all of `peers` as its peers. */
export function configurationOf(
  node: Node,
  peers: readonly Node[],
  extra: Configuration = {},
  underlay: 4 | 6 = 4,
): Configuration {
  return {
    underlay: node.underlay[underlay],
    subnets: [node.subnet[4], node.subnet[6]],
    peers: peers.map(peer => ({
      name: `node${peer.index}`,
      address: peer.underlay[underlay],
      subnets: [peer.subnet[4], peer.subnet[6]],
    })),
    ...extra,
  };
}

/**
 * Starts `ripstop run` inside a namespace, without waiting.
 * @param before words in front of the command (setpriv ...)
 * @param input standard input, for the file `-`
 */
export function startRun(ns: Namespace, file: string, before: readonly string[] = [], input = ''): Proc {
  const argv = [...before, process.execPath, MAIN, 'run', '--config', file, '--log-level', 'debug'];
  return ns.launch(argv, { input });
}

/** Starts `ripstop run` and waits until packets can flow. */
export async function runReady(ns: Namespace, file: string): Promise<Proc> {
  const proc = startRun(ns, file);
  await proc.saying(/"ready":true/);
  return proc;
}

/** Everything that `ripstop run` may touch in a namespace, as text to compare before and after. */
export function kernelPicture(ns: Namespace): string {
  const shown = [
    ['ip', '-o', 'link'],
    ['ip', '-o', 'addr'],
    ['ip', '-4', 'route', 'show', 'table', 'all'],
    ['ip', '-6', 'route', 'show', 'table', 'all'],
    ['ip', 'neigh', 'show', 'nud', 'permanent'],
    ['ip', 'rule'],
    ['sysctl', 'net.ipv4.ip_forward', 'net.ipv6.conf.all.forwarding', 'net.ipv6.conf.all.accept_ra'],
  ].map(argv => ns.must(argv));
  const setting = ns.attempt(['sysctl', '-a', '-r', 'net.ipv6.conf.*.(accept_ra|forwarding|disable_ipv6)$']);
  // Lifetimes and the counters of IPv6 addresses run on by themselves.
  return [...shown, setting.stdout].join('\n').replace(/(valid_lft|preferred_lft|expires) \S+/g, '');
}
