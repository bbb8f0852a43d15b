import { createRequire } from 'node:module';

/*
 * Packages that the user may install next to Ripstop (`peerDependencies` in package.json, marked as optional). Both that there
 * are contain an addon of their own, which npm compiles.
 */

/** How an optional package is described in error messages and in the log. */
export interface MissingPackage {
  /** False when it is installed and does not load. */
  readonly isAbsent: boolean;
  /** One sentence: what is wrong, and how it is repaired. */
  readonly reason: string;
  readonly cause: unknown;
}

const requireFromHere = createRequire(import.meta.url);

/**
 * Loads an optional package.
 * @param load replaces the search, for tests
 */
export function loadOptionalPackage<T>(
  name: string,
  load: (name: string) => unknown = requireFromHere,
): { readonly loaded: T } | { readonly missing: MissingPackage } {
  try {
    return { loaded: load(name) as T };
  } catch (cause) {
    const { code, message } = cause as { code?: unknown; message?: unknown };
    const [line = ''] = String(message ?? cause).split('\n');
    // A package whose addon was not compiled lacks a file of its own, with the same code.
    const isAbsent = code === 'MODULE_NOT_FOUND' && line === `Cannot find module '${name}'`;
    const reason = isAbsent
      ? `the package ${name} is not installed: run \`npm install ${name}\` in the folder whose node_modules holds ripstop, or with -g if ripstop was installed with -g; npm compiles it, which takes python3, make and g++`
      : `the package ${name} is installed and does not load with Node ${process.versions.node}: ${line}; run \`npm rebuild ${name}\` with that Node, with python3, make and g++ installed`;
    return { missing: { isAbsent, reason, cause } };
  }
}
