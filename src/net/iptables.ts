import { runCommand } from './command.ts';
import type { Family } from './text.ts';

/*
 * iptables and ip6tables, for nodes whose other tools use them. Changes go through iptables-restore --noflush: one
 * transaction a table, foreign rules stay. Every call waits for the xtables lock instead of failing.
 */

const LOCK_SECONDS = 10;
/** More than the wait for the lock, so that the lock's own message is the one that is seen. */
const TIMEOUT_MS = (LOCK_SECONDS + 20) * 1000;

function program(family: Family, tail = ''): string {
  return `${family === 6 ? 'ip6tables' : 'iptables'}${tail}`;
}

/** The rules of a table in iptables-save's language. @throws RipstopError */
export async function saveIptables(netns: string, family: Family, table: string): Promise<string> {
  const { stdout } = await runCommand(program(family, '-save'), ['-t', table], {
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
export async function restoreIptables(netns: string, family: Family, rules: string): Promise<void> {
  const args = ['--noflush', '--wait', String(LOCK_SECONDS)];
  await runCommand(program(family, '-restore'), args, { netns, input: rules, timeoutMs: TIMEOUT_MS });
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

/**
 * Arguments of one line of iptables-save: blanks part them, double quotes hold them together, a backslash takes the
 * next character as it is.
 */
export function splitRule(line: string): string[] {
  const words: string[] = [];
  let word: string | undefined;
  let quoted = false;
  for (let i = 0; i < line.length; i++) {
    const char = line[i]!;
    if (char === '"') {
      quoted = !quoted;
      word ??= '';
    } else if (char === '\\' && i + 1 < line.length) {
      word = (word ?? '') + line[++i]!;
    } else if (/\s/.test(char) && !quoted) {
      if (word !== undefined) words.push(word);
      word = undefined;
    } else {
      word = (word ?? '') + char;
    }
  }
  if (word !== undefined) words.push(word);
  return words;
}

/** The `-A` lines of one chain in the output of `saveIptables`, in their order. */
export function rulesOfChain(saved: string, chain: string): string[] {
  return saved.split('\n').filter(line => line.startsWith(`-A ${chain} `));
}

/** Whether a chain stands in the output of `saveIptables`. */
export function hasChain(saved: string, chain: string): boolean {
  return saved.split('\n').some(line => line.startsWith(`:${chain} `));
}
