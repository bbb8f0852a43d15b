import { dirname, join, normalize } from 'node:path';
import type { SourceFile } from './sources.ts';

/*
 * Which folder may import which: the table of docs/guides/develop/architecture.md. A folder without a row of its own has the row of the
 * folder above it. A folder may import itself and what lies below the same row. `x` opens the folder x and the folders
 * below it that have no row of their own; a folder with a row is opened by its own name only.
 */
export const RULES: Readonly<Record<string, readonly string[]>> = {
  encap: [],
  // The facade, src/index.ts. Folders below have rows of their own.
  src: ['src/diagnose', 'src/dataplane/descriptor', 'src/capture', 'src/base'],
  'src/base': [],
  'src/ip': ['src/base', 'encap'],
  'src/native': [],
  'src/net': ['src/base', 'src/ip', 'src/native', 'encap'],

  // The data plane, from the bottom to the top.
  'src/dataplane/descriptor': ['src/base', 'src/ip', 'encap'],
  'src/dataplane/tables': ['src/dataplane/descriptor', 'src/base', 'src/ip', 'encap'],
  'src/dataplane/io': [
    'src/dataplane/descriptor',
    'src/dataplane/tables',
    'src/native',
    'src/base',
    'src/ip',
    'encap',
  ],
  'src/dataplane/tap': ['src/dataplane/descriptor', 'src/dataplane/tables', 'src/base', 'src/ip', 'encap'],
  'src/dataplane/slow-path': [
    'src/dataplane/descriptor',
    'src/dataplane/tables',
    'src/dataplane/io',
    'src/base',
    'src/ip',
    'encap',
  ],
  'src/dataplane/fast-path': [
    'src/dataplane/descriptor',
    'src/dataplane/tables',
    'src/dataplane/io',
    'src/dataplane/slow-path',
    'src/base',
    'encap',
  ],
  'src/dataplane': [
    'src/dataplane/descriptor',
    'src/dataplane/tables',
    'src/dataplane/io',
    'src/dataplane/tap',
    'src/dataplane/slow-path',
    'src/dataplane/fast-path',
    'src/native',
    'src/base',
    'src/ip',
    'encap',
  ],

  'src/capture': [
    'src/dataplane/descriptor',
    'src/dataplane/tables',
    'src/dataplane/tap',
    'src/base',
    'src/ip',
    'encap',
  ],
  'src/measure': [
    'src/dataplane/descriptor',
    'src/dataplane/tables',
    'src/dataplane/io',
    'src/capture',
    'src/net',
    'src/native',
    'src/base',
    'src/ip',
    'encap',
  ],
  'src/agent': [
    'src/dataplane',
    'src/dataplane/descriptor',
    'src/capture',
    'src/net',
    'src/base',
    'src/ip',
    'encap',
  ],
  'src/diagnose': [
    'src/agent',
    'src/dataplane',
    'src/dataplane/descriptor',
    'src/capture',
    'src/net',
    'src/base',
    'src/ip',
    'encap',
  ],
  'src/api': [
    'src/diagnose',
    'src/agent',
    'src/dataplane',
    'src/dataplane/descriptor',
    'src/dataplane/tap',
    'src/capture',
    'src/net',
    'src/base',
    'src/ip',
    'encap',
  ],
  // The web UI runs in a browser: imports.test.ts checks that what it imports imports nothing itself.
  'src/web': ['src/api/web', 'src/base', 'encap'],
  'src/cni': ['src/net', 'src/base', 'src/ip', 'encap'],
  // Namespaces and processes for experiments; the command, the demo, the bench and the tests build with it.
  'src/lab': ['src/base', 'encap'],
  'src/cli': [
    'src/lab',
    'src/api',
    'src/diagnose',
    'src/agent',
    'src/cni',
    'src/capture',
    'src/measure',
    'src/dataplane',
    'src/dataplane/descriptor',
    'src/dataplane/tap',
    'src/native',
    'src/base',
    'src/ip',
    'encap',
  ],
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

/** The row of a file: its folder, or the nearest folder below src above that has one; undefined without any. */
export function rowOf(path: string): string | undefined {
  if (dirname(path) === 'src') return 'src';
  for (let folder = dirname(path); folder !== '.'; folder = dirname(folder))
    if (folder !== 'src' && (RULES[folder] !== undefined || OUTSIDE.includes(folder))) return folder;
  return undefined;
}

/** What is wrong with one import, or undefined. */
export function importFault({ from, specifier, target }: Import): string | undefined {
  const row = rowOf(from);
  if (row === undefined) return `${from}: its folder has no row in the table`;
  if (row === 'encap' && target === undefined)
    return `${from}: encap is pure and may not import ${specifier}`;
  if (target === undefined || OUTSIDE.includes(row)) return undefined;
  const opened = [row, ...RULES[row]!];
  const other = rowOf(target);
  if (other !== undefined && opened.includes(other)) return undefined;
  // A part of a row is opened by the name of its folder.
  if (
    opened.some(folder => folder !== other && target.startsWith(`${folder}/`) && RULES[folder] === undefined)
  )
    return undefined;
  return `${from}: ${row} may not import ${target}`;
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
