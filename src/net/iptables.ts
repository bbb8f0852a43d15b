import { accessSync, constants } from 'node:fs';
import type { Family } from '../ip/address.ts';
import { notInstalled, runCommand, SEARCH } from './command.ts';
import { isNetError } from './error.ts';
import { hasNftChain, hasNftTable } from './nft/presence.ts';
import { readNamespaceFile } from './sysctl.ts';

/*
 * iptables and ip6tables, for nodes whose other tools use them. Changes are made by iptables-restore --noflush: one
 * transaction per table, foreign rules stay. Every call waits for the xtables lock instead of failing.
 */

const LOCK_SECONDS = 10;
/** More than the wait for the lock, so that the lock's own message is the one that is seen. */
const TIMEOUT_MS = (LOCK_SECONDS + 20) * 1000;

function program(family: Family, tail = ''): string {
  return `${family === 6 ? 'ip6tables' : 'iptables'}${tail}`;
}

/**
 * The kernel holds two rule sets of iptables: that of the old interface (`legacy`), and tables of nftables that iptables
 * keeps (`nft`). Which one `iptables` works on differs between hosts and images, so a rule may be in either.
 */
export type Variant = 'nft' | 'legacy';

function isInstalled(name: string): boolean {
  return (process.env.PATH ?? SEARCH).split(':').some(folder => {
    try {
      accessSync(`${folder}/${name}`, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/**
 * The program of a variant, as in `ip6tables-legacy-save`; of the default one where there is no such name and the
 * default is of that variant.
 * @throws RipstopError ENOENT when neither is installed
 */
async function programOf(variant: Variant | undefined, family: Family, tail: string): Promise<string> {
  if (variant === undefined) return program(family, tail);
  const named = program(family, `-${variant}${tail}`);
  if (isInstalled(named)) return named;
  if (isInstalled(program(family)) && (await defaultVariant()) === variant) return program(family, tail);
  throw notInstalled(named);
}

/** The variant that the program `iptables` works on; undefined where it is not installed. @throws RipstopError ECOMMAND */
export async function defaultVariant(): Promise<Variant | undefined> {
  if (!isInstalled('iptables')) return undefined;
  const { stdout } = await runCommand('iptables', ['--version']);
  return /nf_tables/.test(stdout) ? 'nft' : 'legacy';
}

/** Whether the old interface of iptables has this table in the namespace. It makes a table when it is first used. */
function hasLegacyTable(netns: string, family: Family, table: string): boolean {
  const file = `/proc/thread-self/net/${family === 6 ? 'ip6' : 'ip'}_tables_names`;
  try {
    return readNamespaceFile(netns, file).split('\n').includes(table);
  } catch (error) {
    // This kernel has no such interface, or the file is only for a capability that this process lacks.
    if (isNetError(error, 'ENOENT', 'EACCES', 'EPERM')) return false;
    throw error;
  }
}

/**
 * The variants whose table may hold rules, found without starting a program. A table counts only where its program is
 * installed: `table ip nat` of nftables may have been made by `nft` itself, on a node without iptables.
 * @param chain a chain of the rules: only this chain of nftables' table is looked up, and it counts without a program too
 */
export async function variantsInUse(
  netns: string,
  family: Family,
  table: string,
  chain?: string,
): Promise<Variant[]> {
  const found: Variant[] = [];
  const place = family === 6 ? 'ip6' : 'ip';
  const inNft =
    chain === undefined ? hasNftTable(netns, place, table) : hasNftChain(netns, place, table, chain);
  const hasProgram = async (variant: Variant) => {
    const name = await programOf(variant, family, '-save').catch(() => undefined);
    return name !== undefined;
  };
  if (inNft && (chain !== undefined || (await hasProgram('nft')))) found.push('nft');
  if (hasLegacyTable(netns, family, table) && (await hasProgram('legacy'))) found.push('legacy');
  return found;
}

/** The rules of a table in iptables-save's language, by the default program or that of a variant. @throws RipstopError */
export async function saveIptables(
  netns: string,
  family: Family,
  table: string,
  variant?: Variant,
): Promise<string> {
  const { stdout } = await runCommand(await programOf(variant, family, '-save'), ['-t', table], {
    netns,
    timeoutMs: TIMEOUT_MS,
  });
  return stdout;
}

/**
 * Applies rules in iptables-save's language. A chain that is named (`:NAME - [0:0]`) is emptied and refilled, all
 * others stay; a table is changed whole or not at all.
 * @throws RipstopError ECOMMAND with the line that was refused
 */
export async function restoreIptables(
  netns: string,
  family: Family,
  rules: string,
  variant?: Variant,
): Promise<void> {
  const args = ['--noflush', '--wait', String(LOCK_SECONDS)];
  const options = { netns, input: rules, timeoutMs: TIMEOUT_MS };
  await runCommand(await programOf(variant, family, '-restore'), args, options);
}

/** One iptables command, as in `['-t', 'nat', '-C', ...]`. @returns false when it failed with exit code 1 (not there) */
export async function iptables(netns: string, family: Family, args: readonly string[]): Promise<boolean> {
  const { code } = await runCommand(program(family), ['--wait', String(LOCK_SECONDS), ...args], {
    netns,
    timeoutMs: TIMEOUT_MS,
    accept: [0, 1],
  });
  return code === 0;
}

/** The `-A` lines of one chain in the output of `saveIptables`, in their order. */
export function rulesOfChain(saved: string, chain: string): string[] {
  return saved.split('\n').filter(line => line.startsWith(`-A ${chain} `));
}
