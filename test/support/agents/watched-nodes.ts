import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Proc } from '../../../bench/lab/proc.ts';
import type { Lab, Node } from '../../../bench/lab/topology.ts';
import { labFor } from '../lab.ts';
import { type Configuration, configurationOf, MAIN, runCommand } from './run-node.ts';

/** Two nodes under `ripstop run`, each with a socket by which it lets itself be watched. */
export interface WatchedNodes {
  readonly lab: Lab;
  readonly one: Node;
  readonly two: Node;
  /** For files of the test; gone with it. */
  readonly folder: string;
  socketOf(node: Node): string;
  /** Gives a node another configuration and has it read it. */
  reload(node: Node, extra: Configuration): Promise<void>;
  /** A `ripstop` command at the socket of a node. */
  ripstop(node: Node, command: string, ...args: string[]): Proc;
}

/** @param underlay family of the nodes' addresses */
export async function watchedNodes(
  owner: Parameters<typeof labFor>[0],
  extra: Configuration,
  underlay: 4 | 6 = 4,
): Promise<WatchedNodes> {
  const lab = labFor(owner);
  lab.condition('wire');
  // Short: the path of a unix socket has at most 107 bytes.
  const folder = mkdtempSync(join(tmpdir(), 'rs-cap-'));
  owner.teardown(() => rmSync(folder, { recursive: true }));
  const [one, two] = lab.nodes as [Node, Node];
  const stateOf = (node: Node) => `${folder}/node${node.index}`;
  const socketOf = (node: Node) => `${stateOf(node)}/agent.sock`;
  const fileOf = (node: Node) => `${folder}/node${node.index}.yaml`;
  const configure = (node: Node, more: Configuration = {}) => {
    const peers = lab.nodes.filter(peer => peer !== node);
    const configuration = configurationOf(node, peers, { ...extra, ...more }, underlay);
    writeFileSync(fileOf(node), JSON.stringify(configuration));
  };
  const running = new Map<Node, Proc>();
  for (const node of lab.nodes) {
    configure(node);
    // All nodes of a lab have the host's name: their addresses tell them apart.
    const name = `--node-name=${node.underlay[underlay]}`;
    const proc = node.ns.launch([...runCommand(fileOf(node), stateOf(node)), name]);
    await proc.saying(/"ready":true/);
    running.set(node, proc);
  }
  const reload = async (node: Node, more: Configuration) => {
    configure(node, more);
    const proc = running.get(node)!;
    proc.kill('SIGHUP');
    await proc.saying(/configuration read again/);
  };
  const ripstop = (node: Node, command: string, ...args: string[]) =>
    node.ns.launch([process.execPath, MAIN, command, '--socket', socketOf(node), ...args]);
  return { lab, one, two, folder, socketOf, reload, ripstop };
}
