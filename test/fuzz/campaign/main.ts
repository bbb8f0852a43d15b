/*
 * `npm run fuzz`: the fuzzers, a bounded time as in `npm test`.
 *   npm run fuzz -- [NAME...]              those whose file name contains one of these
 *   npm run fuzz -- --forever [NAME...]    round after round, each with another seed, until one finds something
 *   npm run fuzz -- --replay FILE          an input that an earlier run kept in .fuzz/
 */
import { spawn } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { parseArgs } from 'node:util';
import { CHECKOUT } from '../../../bench/lab/tool.ts';

const FOLDER = join(CHECKOUT, 'dist/test/fuzz');
/** For each parser in a round of --forever, s. */
const ROUND_SECONDS = 60;
/** Lines of a failed run that are shown. */
const SHOWN_LINES = 60;
/** These run a fixed set of other tests: a further round of them finds nothing new. */
const NOT_FOREVER = ['sanitizer'];

const say = (line: string) => process.stdout.write(`${line}\n`);

function fail(line: string): never {
  process.stderr.write(`fuzz: ${line}\n`);
  process.exit(2);
}

interface Outcome {
  readonly ok: boolean;
  readonly output: string;
}

function run(name: string, env: Record<string, string>): Promise<Outcome> {
  return new Promise(resolve => {
    const child = spawn(process.execPath, [join(FOLDER, `${name}.test.js`)], {
      cwd: CHECKOUT,
      env: { ...process.env, TAP: '1', TAP_TIMEOUT: '0', ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (chunk: string) => {
        output = (output + chunk).slice(-(1 << 20));
      });
    child.on('close', code => resolve({ ok: code === 0, output }));
  });
}

/** What a failed run said, without the checks that passed. */
function excerpt(output: string): string {
  const lines = output.split('\n').filter(line => !/^\s*(ok \d|#|1\.\.|$)/.test(line));
  return lines.slice(0, SHOWN_LINES).join('\n');
}

async function once(names: readonly string[], env: Record<string, string>): Promise<boolean> {
  let ok = true;
  for (const name of names) {
    const began = performance.now();
    const outcome = await run(name, env);
    const seconds = ((performance.now() - began) / 1000).toFixed(1);
    const setting = Object.entries(env).map(([key, value]) => `${key}=${value}`);
    say(`${outcome.ok ? 'ok    ' : 'FAILED'} ${name}, ${seconds} s ${setting.join(' ')}`);
    if (outcome.ok) continue;
    ok = false;
    say(excerpt(outcome.output));
    say(`run again with: ${setting.join(' ')} npm run fuzz -- ${name}`);
  }
  return ok;
}

async function forever(names: readonly string[]): Promise<never> {
  const first = Number(process.env.RIPSTOP_SEED ?? Date.now() & 0x7fffffff);
  const seconds = process.env.RIPSTOP_FUZZ_SECONDS ?? String(ROUND_SECONDS);
  for (let round = 0; ; round++) {
    const env = { RIPSTOP_SEED: String((first + round) >>> 0), RIPSTOP_FUZZ_SECONDS: seconds };
    if (!(await once(names, env))) process.exit(1);
  }
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { forever: { type: 'boolean' }, replay: { type: 'string' } },
});
const all = readdirSync(FOLDER)
  .filter(name => name.endsWith('.test.js'))
  .map(name => name.replace(/\.test\.js$/, ''));
const chosen =
  positionals.length === 0 ? all : all.filter(name => positionals.some(part => name.includes(part)));
if (chosen.length === 0) fail(`no fuzzer matches ${positionals.join(' ')}; there are ${all.join(', ')}`);
if (values.replay !== undefined) {
  if (!existsSync(values.replay)) fail(`${values.replay} does not exist`);
  const [name = ''] = basename(values.replay).split('.');
  if (!all.includes(name)) fail(`${values.replay} is not named after a fuzzer (${all.join(', ')})`);
  process.exit(
    (await once([name], { RIPSTOP_FUZZ_INPUT: values.replay, RIPSTOP_FUZZ_SECONDS: '0' })) ? 0 : 1,
  );
}
if (values.forever) await forever(chosen.filter(name => !NOT_FOREVER.includes(name)));
process.exit((await once(chosen, {})) ? 0 : 1);
