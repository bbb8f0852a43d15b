import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { CHECKOUT } from '../../bench/lab/tool.ts';
import { fuzzSeconds, seedOfRun } from '../fixtures/random.ts';
import { keepInput, replayed } from './campaign/campaign.ts';
import { coalesceSeeds, segmentSeeds } from './campaign/native-seeds.ts';

/*
 * The native parsers under libFuzzer with address and undefined-behaviour sanitizers, a bounded time, from whole packets.
 */

const SECONDS = fuzzSeconds(8);
const CLANG = ['clang++-14', 'clang++'].find(name => spawnSync(name, ['--version']).status === 0);
const NATIVE = join(CHECKOUT, 'src/native');
const PURE = readdirSync(join(NATIVE, 'offload'))
  .filter(name => name.endsWith('.cc'))
  .map(name => join(NATIVE, 'offload', name));

const skip = CLANG ? false : 'clang++ is missing: libFuzzer comes with it';
const targets: [string, () => Uint8Array[]][] = [
  ['segment_fuzz', segmentSeeds],
  ['coalesce_fuzz', coalesceSeeds],
];

for (const [name, seeds] of targets) {
  t.test(`${name}: ${SECONDS} seconds without a finding`, { skip }, t => {
    const folder = mkdtempSync(join(tmpdir(), 'ripstop-fuzz-'));
    t.teardown(() => rmSync(folder, { recursive: true, force: true }));
    const binary = join(folder, name);
    const source = join(CHECKOUT, 'test/fuzz/native', `${name}.cc`);
    const flags = [
      '-std=c++17',
      '-O1',
      '-g',
      '-fsanitize=fuzzer,address,undefined',
      '-fno-sanitize-recover=all',
      `-I${NATIVE}`,
    ];
    const built = spawnSync(CLANG!, [...flags, '-o', binary, source, ...PURE], { encoding: 'utf8' });
    t.equal(built.status, 0, `builds ${built.stderr.slice(0, 2000)}`);
    const corpus = join(folder, 'corpus');
    mkdirSync(corpus);
    for (const [i, seed] of seeds().entries()) writeFileSync(join(corpus, `seed-${i}`), seed);
    const kept = join(CHECKOUT, 'test/fuzz/native/seeds', name);
    const corpora = existsSync(kept) ? [corpus, kept] : [corpus];
    const again = replayed(name);
    if (again !== undefined) {
      const input = join(folder, 'again');
      writeFileSync(input, again === 'another' ? seeds()[0]! : again);
      const once = spawnSync(binary, [input], { encoding: 'utf8' });
      t.equal(once.status, 0, once.stderr.slice(-3000));
      t.end();
      return;
    }
    const limits = [`-max_total_time=${SECONDS}`, `-seed=${seedOfRun(1)}`];
    const run = spawnSync(binary, [...limits, '-max_len=6000', `-artifact_prefix=${folder}/`, ...corpora], {
      encoding: 'utf8',
      timeout: SECONDS * 1000 + 60_000,
    });
    const executed = /Done (\d+) runs/.exec(run.stderr)?.[1] ?? '0';
    // libFuzzer has written the input that it stopped at into the folder.
    const found = readdirSync(folder)
      .filter(file => /^(crash|leak|timeout|oom)-/.test(file))
      .map(file => keepInput(name, readFileSync(join(folder, file))));
    t.equal(
      run.status,
      0,
      run.status === 0 ? `${executed} inputs` : `${run.stderr.slice(-3000)} ${found.join()}`,
    );
    t.ok(Number(executed) > 1000, 'it did run');
    t.end();
  });
}
