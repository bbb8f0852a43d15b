import { dirname, join, normalize } from 'node:path';
import type { SourceFile } from './sources.ts';

/*
 * Who may import whom: the table of the design's section 2, word for word. What is absent is forbidden; a room may
 * always import itself. An entry with `.ts` opens that one file of a room.
 */
export const RULES: Readonly<Record<string, readonly string[]>> = {
  encap: [],
  base: [],
  native: [],
  shm: ['base', 'encap'],
  io: ['base', 'native', 'shm', 'encap'],
  path: ['base', 'encap', 'shm', 'io/seams.ts', 'capture/point.ts'],
  slow: ['base', 'encap', 'shm'],
  capture: ['base', 'encap', 'shm'],
  net: ['base', 'native', 'encap'],
  agent: ['base', 'net', 'shm', 'slow', 'capture', 'path/control.ts', 'encap'],
  // The page in the browser: what it says to its server are types, which are gone when it runs.
  page: ['encap', 'agent/page/messages.ts'],
  cni: ['base', 'net', 'encap', 'agent/client.ts'],
  // path/offline.ts: a replay runs the forwarder in the command itself (docs/decisions/0072-replay.md).
  cli: ['agent', 'cni', 'capture', 'base', 'path/offline.ts'],
};

/**
 * The cold files of `path` that put devices, sockets and the slow room's answers together. The table alone would let
 * nobody make a device: docs/decisions/0021-wiring-of-the-path.md. None of them holds a hot function.
 */
export const WIRING: Readonly<Record<string, readonly string[]>> = {
  'src/path/control.ts': ['io', 'native', 'slow'],
  // Parts of the control thread.
  'src/path/descriptors.ts': ['io', 'native'],
  'src/path/peers.ts': ['slow'],
  'src/path/worker.ts': ['io', 'native'],
  'src/path/exceptions.ts': ['slow'],
  'src/path/options.ts': ['io'],
  // Scheduling of the command's own threads: docs/decisions/0075-a-capture-gives-way.md.
  'src/cli/giving-way.ts': ['native'],
};

/** Free to import everything; nothing imports them. */
const OUTSIDE = ['bench', 'test'];

export interface Import {
  readonly from: string;
  /** As written. */
  readonly specifier: string;
  /** Path from the top of the tree of an import of ours, undefined for a package. */
  readonly target: string | undefined;
}

/** `from '...'`, bare imports, dynamic imports of a literal, and worker entries by `new URL`. */
const SPECIFIERS = [
  /^\s*(?:import|export)\b[^'";]*?\bfrom\s+'([^']+)'/gm,
  /^\s*import\s+'([^']+)'/gm,
  /\bimport\(\s*'([^']+)'/g,
  /\bnew URL\(\s*'(\.[^']+\.[jt]s)'\s*,\s*import\.meta\.url/g,
];

export function importsOf({ path, text }: SourceFile): Import[] {
  const code = text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/^\s*\/\/.*$/gm, '');
  const specifiers = SPECIFIERS.flatMap(pattern => [...code.matchAll(pattern)].map(match => match[1]!));
  return specifiers.map(specifier => {
    const ours = specifier.startsWith('.');
    const target = ours ? normalize(join(dirname(path), specifier)).replace(/\.js$/, '.ts') : undefined;
    return { from: path, specifier, target };
  });
}

/** Room of a file: the folder below `src`, or the top folder. */
export function roomOf(path: string): string {
  const [top, second] = path.split('/');
  return top === 'src' ? second! : top!;
}

/** What is wrong with one import, or undefined. */
export function importFault({ from, specifier, target }: Import): string | undefined {
  const room = roomOf(from);
  if (room === 'encap' && target === undefined)
    return `${from}: encap is pure and may not import ${specifier}`;
  if (target === undefined || OUTSIDE.includes(room)) return undefined;
  const other = roomOf(target);
  if (other === room) return undefined;
  const rule = RULES[room];
  if (rule === undefined) return `${from}: ${room} is no room of the design`;
  if (WIRING[from]?.includes(other)) return undefined;
  if (rule.includes(other) || rule.includes(target.replace(/^src\//, ''))) return undefined;
  return `${from}: ${room} may not import ${target.replace(/^src\//, '')}`;
}

/** Cycles among the files, each as the list of its members; every cycle is named at least by one of its walks. */
export function cyclesIn(imports: readonly Import[]): string[] {
  const edges = new Map<string, string[]>();
  for (const { from, target } of imports)
    if (target !== undefined) edges.set(from, [...(edges.get(from) ?? []), target]);
  const cycles: string[] = [];
  const done = new Set<string>();
  const walk = (file: string, trail: readonly string[]): void => {
    const at = trail.indexOf(file);
    if (at !== -1) cycles.push([...trail.slice(at), file].join(' -> '));
    if (at !== -1 || done.has(file)) return;
    for (const next of edges.get(file) ?? []) walk(next, [...trail, file]);
    done.add(file);
  };
  for (const file of edges.keys()) walk(file, []);
  return cycles;
}
