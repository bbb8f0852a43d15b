#!/usr/bin/env node
import { readFileSync } from 'node:fs';
import { CommanderError } from 'commander';
import { describeError, hasCode, messageOf, RipstopError } from '../base/errors.ts';
import { readJson, record, string } from '../base/schema.ts';
import { printable } from '../base/text/printable.ts';
import { BROKEN_PIPE } from '../capture/sink/output-stream.ts';
import { explainError } from './explain-error.ts';
import { createProgram } from './program.ts';

/** Exit codes: 0 success, 1 failure, 2 invalid options or configuration. */
const FAILED = 1;
const INVALID_CALL = 2;

function version(): string {
  const file = new URL('../../../package.json', import.meta.url);
  return readJson(record({ version: string }), readFileSync(file, 'utf8'), 'package.json').version;
}

// A closed pipe (`ripstop explain | head -1`) ends the command; commands that write for long have a listener of their own.
process.stdout.on('error', error => {
  if (process.stdout.listenerCount('error') > 1) return;
  if (!hasCode(error, BROKEN_PIPE)) {
    process.stderr.write(`ripstop: standard output: ${messageOf(error)}\n`);
    process.exitCode = FAILED;
  }
  // The status that the command has set, as that of `ripstop doctor` for a fault, stays.
  process.exit();
});

try {
  await createProgram(version()).parseAsync();
} catch (error) {
  // Commander has printed the help, the version or the error.
  if (error instanceof CommanderError) {
    process.exitCode = error.exitCode === 0 ? 0 : INVALID_CALL;
  } else if (error instanceof RipstopError && hasCode(error, BROKEN_PIPE)) {
    // `ripstop flows | head`: the reader has closed the pipe.
    process.exit();
  } else {
    const known = explainError(error);
    const code = known instanceof RipstopError ? ` [${known.code}]` : '';
    const text = describeError(known).split('\n').map(printable).join('\n');
    process.stderr.write(`ripstop: ${text}${code}\n`);
    if (!(known instanceof RipstopError) && known instanceof Error)
      process.stderr.write(`${known.stack ?? ''}\n`);
    // exit() at once: an open handle would keep the process of the failed command running.
    process.exit(error instanceof RipstopError && error.code === 'ECONFIG' ? INVALID_CALL : FAILED);
  }
}
