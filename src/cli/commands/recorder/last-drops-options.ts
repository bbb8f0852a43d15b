import type { Command } from 'commander';
import { RipstopError } from '../../../base/errors.ts';
import { integerOption } from '../../options.ts';

/** Options of `ripstop drops --last`. */
export interface LastDropsOptions {
  /** Number of frames. */
  readonly count: number;
  /** File to write; undefined: print. */
  readonly write?: string;
  readonly device?: string;
}

const LAST_MAX = 10_000;

/** @throws RipstopError ECONFIG for an option that has no effect without `--last` */
export function checkLastOptions({
  last,
  write,
  device,
}: Partial<LastDropsOptions> & { last?: number }): void {
  if (last !== undefined) return;
  const given = write !== undefined ? '--write' : device !== undefined ? '--device' : undefined;
  if (given) throw new RipstopError('ECONFIG', `${given} without --last`, 'add --last 50, for instance');
}

export function addLastOptions(command: Command): void {
  command
    .option(
      '--last <frames>',
      'show the last lost frames of the flight recorder with their headers (default: the counts by reason)',
      integerOption(1, LAST_MAX),
    )
    .option(
      '-w, --write <file>',
      'with --last: pcapng file to write; -: standard output (default: print lines)',
    )
    .option('--device <device>', 'with --last: overlay device (default: all)');
}
