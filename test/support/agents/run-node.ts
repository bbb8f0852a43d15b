import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Namespace } from '../../../bench/lab/namespace.ts';
import type { Proc } from '../../../bench/lab/proc.ts';
import { CHECKOUT } from '../../../bench/lab/tool.ts';
import type { Node } from '../../../bench/lab/topology.ts';

export const MAIN = `${CHECKOUT}dist/src/cli/main.js`;

const stateRoot = mkdtempSync(join(tmpdir(), 'rs-run-'));
// Also for a test that runs as another user than root.
chmodSync(stateRoot, 0o777);
process.once('exit', () => rmSync(stateRoot, { recursive: true, force: true }));
let runs = 0;

/** A state directory of its own: the path of the socket in it is short, as unix(7) wants it. */
export function newStateDir(): string {
  return join(stateRoot, String(runs++));
}

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

/** `ripstop run` without probes, which would be counted among the packets of a test. */
export function runCommand(file: string, stateDir = newStateDir()): string[] {
  return [process.execPath, MAIN, 'run', file, `--state-dir=${stateDir}`, '--probe-interval=0'];
}

/**
 * Starts `ripstop run` inside a namespace, without waiting.
 * @param before words in front of the command (setpriv ...)
 * @param input standard input, for the file `-`
 */
export function startRun(ns: Namespace, file: string, before: readonly string[] = [], input = ''): Proc {
  return ns.launch([...before, ...runCommand(file), '--log-level=debug'], { input });
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
