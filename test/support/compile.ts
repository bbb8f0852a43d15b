import { existsSync } from 'node:fs';
import { must } from '../../bench/lab/command.ts';
import { scratch } from '../../bench/lab/namespace.ts';
import { CHECKOUT } from '../../bench/lab/tool.ts';

/** Compiles `test/support/c/NAME.c`, a program of one file, once a process; every warning is an error. @returns its path */
export function compiled(name: string): string {
  const binary = `${scratch()}/${name}`;
  if (!existsSync(binary))
    must(['cc', '-O1', '-Wall', '-Wextra', '-Werror', '-o', binary, `${CHECKOUT}test/support/c/${name}.c`]);
  return binary;
}
