import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Proc } from '../../bench/lab/proc.ts';
import type { Lab, Node } from '../../bench/lab/topology.ts';
import { labFor } from './lab.ts';
import { type Configuration, configurationOf, MAIN } from './run-node.ts';

/** Two nodes under `ripstop run`, each with a socket by which it lets itself be watched. */
export interface WatchedNodes {
  readonly lab: Lab;
  readonly one: Node;
  readonly two: Node;
  /** For files of the test; gone with it. */
  readonly folder: string;
  socketOf(node: Node): string;
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
  const socketOf = (node: Node) => `${folder}/node${node.index}.sock`;
  for (const node of lab.nodes) {
    const file = `${folder}/node${node.index}.yaml`;
    const peers = lab.nodes.filter(peer => peer !== node);
    writeFileSync(file, JSON.stringify(configurationOf(node, peers, { ...extra }, underlay)));
    const argv = [process.execPath, MAIN, 'run', '--config', file, '--socket', socketOf(node)];
    await node.ns.launch(argv).saying(/"ready":true/, 15_000);
  }
  const ripstop = (node: Node, command: string, ...args: string[]) =>
    node.ns.launch([process.execPath, MAIN, command, '--socket', socketOf(node), ...args]);
  return { lab, one, two, folder, socketOf, ripstop };
}
