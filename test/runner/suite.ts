/*
 * Runs the compiled tests and says how they went: `npm test`, or `npm test -- netns/bench/demo unit/shm` for the
 * files whose path holds one of these. It prints one line per file as each ends, the output of what failed, the reasons of what
 * was skipped, the slowest files, tap's own summary, and a last line with the counts. The raw TAP stays in `.tap/last.tap`.
 */
import { spawn } from 'node:child_process';
import { createWriteStream, mkdirSync, readdirSync } from 'node:fs';
import { join, relative } from 'node:path';
import { Parser, type Result } from 'tap-parser';
import { CHECKOUT } from '../../bench/lab/tool.ts';
import { removeStale } from '../../src/lab/namespace.ts';
import { withSourcePositions } from './source-positions.ts';

/** Lines shown of one failed file; the rest is in the raw TAP. */
const SHOWN_LINES = 300;
/** Files in the table of the slowest. */
const SLOWEST = 10;
const say = (line = '') => process.stdout.write(`${line}\n`);

const secondsOf = (ms: number) => `${(ms / 1000).toFixed(1)} s`;

function testFiles(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap(entry => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return testFiles(path);
    return entry.name.endsWith('.test.js') ? [relative(CHECKOUT, path)] : [];
  });
}

function chosen(): string[] {
  const files = testFiles(join(CHECKOUT, 'dist/test')).sort();
  const parts = process.argv
    .slice(2)
    .map(part => part.replace(/^(dist\/)?test\//, '').replace(/(\.test)?\.[jt]s$/, ''));
  return parts.length === 0 ? files : files.filter(file => parts.some(part => file.includes(part)));
}

const shortName = (name: string) => name.replace(/^.*dist\/test\/(\S+)\.test\.js/, '$1');

class Summary {
  passed = 0;
  failed: Result[] = [];
  skipped: Result[] = [];
  /** Each file with its time. */
  private readonly files: { name: string; ms: number }[] = [];
  /** The tests were told to end, so that what fails says nothing. */
  interrupted = false;
  /** tap's closing comments: `# { total: 3, pass: 3 }`, `# time=12ms`. */
  closing: string[] = [];

  watch(parser: Parser): void {
    let section: string[] = [];
    let count = 0;
    parser.on('line', (line: string) => {
      section.push(line);
      if (line.startsWith('# {') || line.startsWith('# time=')) this.closing.push(line.trim());
    });
    parser.on('pass', () => {
      count++;
      this.passed++;
    });
    parser.on('fail', (result: Result) => {
      count++;
      this.failed.push(result);
    });
    parser.on('skip', (result: Result) => {
      if (result.fullname || result.name) this.skipped.push(result);
    });
    const ended = (file: Result) => {
      if (this.interrupted) return;
      const name = file.name.replace('dist/', '').replace('.js', '');
      const ms = file.time ?? 0;
      this.files.push({ name, ms });
      const what = file.skip ? `skipped: ${file.skip}` : `${count} checks, ${secondsOf(ms)}`;
      say(`${file.ok ? 'ok    ' : 'FAILED'} ${name}  ${what}`);
      if (!file.ok)
        for (const line of section.slice(-SHOWN_LINES))
          process.stdout.write(`  | ${withSourcePositions(line)}`);
      section = [];
      count = 0;
    };
    const isFile = ({ name }: Result) => /^dist\/test\/\S+\.test\.js$/.test(name);
    // The files of a group are one level deeper. The group itself counts where its process failed, and no file.
    let isExplained = false;
    parser.on('child', (group: Parser) =>
      group.on('assert', (result: Result) => {
        if (!isFile(result)) return;
        if (!result.ok) isExplained = true;
        ended(result);
      }),
    );
    parser.on('assert', (result: Result) => {
      if (isFile(result) || (!result.ok && !isExplained)) ended(result);
      isExplained = false;
    });
  }

  /** @param broken what is wrong with the run itself, which counts as one failure */
  print(expected: readonly string[], broken: string | undefined): void {
    const named = (result: Result) => shortName(result.fullname || result.name);
    if (this.skipped.length > 0) say(`\nskipped (${this.skipped.length}):`);
    for (const result of this.skipped) {
      say(
        `  ${named(result)}: ${typeof result.skip === 'string' && result.skip ? result.skip : 'no reason given'}`,
      );
    }
    if (this.files.length > SLOWEST) {
      say('\nslowest files:');
      const slowest = this.files.toSorted((a, b) => b.ms - a.ms).slice(0, SLOWEST);
      for (const { name, ms } of slowest) say(`${secondsOf(ms).padStart(9)}  ${name}`);
    }
    const ended = new Set(this.files.map(({ name }) => `dist/${name}.js`));
    const lost = expected.filter(file => !ended.has(file)).map(shortName);
    const failed = [
      ...this.failed.map(named),
      ...lost.map(name => `${name}: its process ended before it did`),
      ...(broken && lost.length === 0 ? [broken] : []),
    ];
    if (failed.length > 0) say(`\nfailed (${failed.length}):`);
    for (const name of failed) say(`  ${name}`);
    say();
    for (const line of this.closing) say(line);
    const skips = this.skipped.length > 0 ? `, ${this.skipped.length} skipped` : '';
    say(`${this.passed} passed, ${failed.length} failed${skips}`);
  }
}

function main(): void {
  removeStale();
  const files = chosen();
  if (files.length === 0) {
    process.stderr.write(`no test file matches ${process.argv.slice(2).join(' ') || 'dist/test'}\n`);
    process.exit(1);
  }
  mkdirSync(join(CHECKOUT, '.tap'), { recursive: true });
  const runner = join(CHECKOUT, 'dist/test/runner/run-files.js');
  // In a process group of its own, so that a signal reaches the test files too.
  const child = spawn(process.execPath, [runner, ...files], {
    cwd: CHECKOUT,
    detached: true,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const summary = new Summary();
  const parser = new Parser();
  summary.watch(parser);
  child.stdout.pipe(createWriteStream(join(CHECKOUT, '.tap/last.tap')));
  child.stdout.pipe(parser as unknown as NodeJS.WritableStream);
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.on(signal, () => {
      summary.interrupted = true;
      if (child.pid) process.kill(-child.pid, signal);
    });
  let code: number | null | undefined;
  const end = () => {
    if (code === undefined || !ended) return;
    removeStale();
    if (summary.interrupted) {
      say('interrupted');
      process.exit(130);
    }
    const fine = code === 0 && parser.ok;
    const broken =
      !fine && summary.failed.length === 0 ? `the run itself: tap ended with exit code ${code}` : undefined;
    summary.print(files, broken);
    process.exitCode = fine && summary.failed.length === 0 ? 0 : 1;
  };
  let ended = false;
  parser.on('complete', () => {
    ended = true;
    end();
  });
  child.on('close', exit => {
    code = exit;
    end();
  });
}

main();
