import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { CHECKOUT } from '../../bench/lab/tool.ts';

/** Folders whose files are small: Node and tap take more processor time to start than most of them to run. */
const SHARED = /^dist\/test\/(unit|vectors)\//;
/** Files per process. Neighbours in the order of paths import much the same modules. */
const FILES = 10;
/** What a file says that changes or measures the process, with the reason behind it: see CONTRIBUTING.md. */
const OWN_PROCESS = /^(?:\/\/| \*|\/\*) Own process: \S/m;

const sourceOf = (file: string) =>
  readFileSync(join(CHECKOUT, file.replace(/^dist\//, '').replace(/\.js$/, '.ts')), 'utf8');

/** Divides compiled test files into those that one process runs, one after the other. */
export function groupsOf(files: readonly string[], read = sourceOf): string[][] {
  const groups: string[][] = [];
  const small: string[] = [];
  for (const file of files)
    if (SHARED.test(file) && !OWN_PROCESS.test(read(file))) small.push(file);
    else groups.push([file]);
  for (let i = 0; i < small.length; i += FILES) groups.push(small.slice(i, i + FILES));
  return groups;
}
