import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { Test } from 'tap';
import { CHECKOUT } from '../../../bench/lab/tool.ts';
import { fuzzSeconds, type Random, seeded } from '../../fixtures/random.ts';
import { mutate } from './mutate.ts';

/*
 * A campaign feeds one parser of foreign bytes: its seeds first, then mutations of them. What breaks a promise of the parser is
 * kept in a file (`.fuzz/FILE.NAME-DIGEST.bin`), which `npm run fuzz -- --replay FILE` feeds again.
 */

export interface Target {
  /** Unique among all campaigns; part of the file name of a kept input. */
  readonly name: string;
  readonly seeds: readonly Uint8Array[];
  /**
   * Parses the bytes. An error that the parser promises is caught here.
   * @returns true when the input was accepted
   * @throws anything: the promise of the parser is broken
   */
  parse(bytes: Uint8Array): boolean | Promise<boolean>;
  /** Another way to change an input, used for half of them. */
  readonly alter?: (random: Random, bytes: Uint8Array) => Uint8Array;
  /** Number of seeds that the parser must accept, 1 by default; 0 where it may refuse all of them. */
  readonly leastAccepted?: number;
  /** Inputs that one slow core manages in a second, where they are fewer than `INPUTS_PER_SECOND`. */
  readonly pace?: number;
}

/** Time of one campaign in `npm test`, s. */
const USUAL_SECONDS = 1;
/** Inputs per second that one slow core manages of most parsers. */
const INPUTS_PER_SECOND = 1000;
/** One input that takes longer has found an expression that backtracks, or a loop; generous for a machine that is busy, ms. */
const LONGEST_MS = 5000;

const KEPT = join(CHECKOUT, '.fuzz');
/** The fuzzer that runs in this process: `npm run fuzz -- --replay` starts the same one. */
const FILE = basename(process.argv[1] ?? '', '.test.js');

/** Keeps an input that was not handled. @returns words for the message of the failure */
export function keepInput(name: string, bytes: Uint8Array): string {
  mkdirSync(KEPT, { recursive: true });
  const digest = createHash('sha256').update(bytes).digest('hex').slice(0, 12);
  const file = join(KEPT, `${FILE}.${name}-${digest}.bin`);
  writeFileSync(file, bytes);
  return `kept in ${file}; again with: npm run fuzz -- --replay ${file}`;
}

/** The input that is to be fed again, when it is one of this campaign; undefined without a replay. */
export function replayed(name: string): Uint8Array | 'another' | undefined {
  const file = process.env.RIPSTOP_FUZZ_INPUT;
  if (file === undefined) return undefined;
  return basename(file).replace(/-[0-9a-f]+\.bin$/, '') === `${FILE}.${name}`
    ? readFileSync(file)
    : 'another';
}

/** Runs a campaign: so many inputs in `npm test`, the same ones for the same seed, and more with RIPSTOP_FUZZ_SECONDS. */
export async function campaign(t: Test, target: Target): Promise<void> {
  const again = replayed(target.name);
  if (again === 'another') return void t.pass('not the input of this campaign');
  const random = seeded(t, SEED);
  if (again) return void (await feed(t, target, again, 'the kept input'));
  let accepted = 0;
  for (const [at, seed] of target.seeds.entries()) if (await feed(t, target, seed, `seed ${at}`)) accepted++;
  t.ok(
    accepted >= (target.leastAccepted ?? 1),
    `${target.name}: ${accepted} seeds of ${target.seeds.length} are accepted`,
  );
  const inputs = Math.ceil(fuzzSeconds(USUAL_SECONDS) * (target.pace ?? INPUTS_PER_SECOND));
  let kept = 0;
  for (let input = 0; input < inputs && t.passing(); input++) {
    const seed = random.pick(target.seeds);
    const alter = target.alter && random.chance(0.5) ? target.alter : mutate;
    if (await feed(t, target, alter(random, seed), `input ${input}`)) kept++;
    // Sockets and timers of a parser that has some get their turn.
    if (input % 256 === 0) await new Promise(resolve => setImmediate(resolve));
  }
  t.pass(`${target.name}: ${inputs} inputs, ${kept} accepted`);
}

/** The same inputs in each run of `npm test`, so that a failure there is one of the change. */
export const SEED = 2_026;

async function feed(t: Test, { name, parse }: Target, bytes: Uint8Array, which: string): Promise<boolean> {
  const before = performance.now();
  try {
    const isAccepted = await parse(bytes);
    const ms = performance.now() - before;
    if (ms > LONGEST_MS) t.fail(`${name}, ${which}: took ${Math.round(ms)} ms; ${keepInput(name, bytes)}`);
    return isAccepted;
  } catch (error) {
    t.fail(`${name}, ${which}: ${(error as Error)?.stack ?? error}; ${keepInput(name, bytes)}`);
    return false;
  }
}

/** True when it throws nothing, false when it throws one of these errors. @throws what is none of them */
export function refusing(work: () => unknown, ...codes: readonly (string | number)[]): boolean {
  try {
    work();
    return true;
  } catch (error) {
    const code = (error as { code?: string | number } | undefined)?.code;
    if (code !== undefined && codes.includes(code)) return false;
    throw error;
  }
}

/** Bytes of a text; inputs of text parsers are decoded as Node decodes a file. */
export const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);
export const textOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('utf8');
