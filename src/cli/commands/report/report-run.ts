import { resolve } from 'node:path';
import { collectReport } from '../../../api/report/collect.ts';
import { pseudonymized } from '../../../api/report/pseudonymized.ts';
import { writeFileAtomicSync } from '../../../base/atomic-file.ts';
import { hasCode, RipstopError } from '../../../base/errors.ts';
import { printable } from '../../../base/text/printable.ts';
import { packBundle } from '../../../diagnose/report/bundle.ts';
import { objectText } from '../../json/print.ts';
import type { OutputOptions } from '../../options.ts';
import { stopOnSignal } from '../../terminal/stop.ts';

export interface ReportOptions extends OutputOptions {
  readonly socket: string;
  readonly file?: string;
  readonly duration: number;
  readonly pseudonyms?: true;
}

const MODE = 0o600;
/** 128 + SIGINT. */
const INTERRUPTED = 130;

/** Runs `ripstop report`. @throws errors of the file system */
export async function runReport(options: ReportOptions, version: string): Promise<void> {
  const { socket, duration, output, pseudonyms = false } = options;
  const createdAt = new Date();
  const toStdout = options.file === '-';
  if (toStdout) checkStdout(output);
  const path = toStdout ? '-' : resolve(options.file ?? `ripstop-report-${stampOf(createdAt)}.tar.gz`);
  const { signal } = stopOnSignal();
  process.stderr.write(`ripstop report: collecting for at least ${duration} s\n`);
  try {
    const collected = await collectReport(socket, duration, signal);
    const bundle = pseudonyms ? pseudonymized(collected) : collected;
    const { archive, manifest } = packBundle(bundle, { version, createdAt, pseudonyms });
    if (toStdout) await writeStdout(archive);
    else write(path, archive);
    const { files, missing } = manifest;
    if (output) {
      const written = { file: path, bytes: archive.length, pseudonyms, files, missing };
      process.stdout.write(await objectText(output, 'ripstop-report/1', written));
      return;
    }
    const lines = [
      `${toStdout ? 'ripstop report' : path}: ${files.length} files, ${archive.length} bytes${pseudonyms ? ', with pseudonyms' : ''}`,
      ...(missing.length > 0 ? ['not in it:'] : []),
      ...missing.map(({ what, why }) => `  ${what}: ${why}`),
    ];
    const terminal = toStdout ? process.stderr : process.stdout;
    for (const line of lines) terminal.write(`${printable(line)}\n`);
  } catch (error) {
    if (!signal.aborted) throw error;
    process.stderr.write('ripstop report: stopped, nothing was written\n');
    // An answer that is still awaited must not keep the process.
    process.exit(INTERRUPTED);
  }
}

/** @throws RipstopError ECONFIG where the archive would mix with other output */
function checkStdout(output: unknown): void {
  if (output)
    throw new RipstopError('ECONFIG', '--file - with --output', 'give a file, or leave out --output');
  if (process.stdout.isTTY)
    throw new RipstopError('ECONFIG', '--file - writes bytes to the terminal', 'redirect standard output');
}

function writeStdout(archive: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    process.stdout.write(archive, error => (error ? reject(error) : resolve()));
  });
}

/** The write is synchronous: a signal is handled after it, so that there is the whole file or none. */
function write(path: string, archive: Uint8Array): void {
  try {
    writeFileAtomicSync(path, archive, MODE);
  } catch (error) {
    if (!hasCode(error, 'ENOSPC', 'EDQUOT')) throw error;
    throw new RipstopError(
      'ENOSPC',
      `${path}: the disk is full: the report has ${archive.length} bytes`,
      'give a path on another file system with --file',
    );
  }
}

/** `20261130T105700Z` */
function stampOf(time: Date): string {
  return time.toISOString().replaceAll(/[-:]|\.\d+/g, '');
}
