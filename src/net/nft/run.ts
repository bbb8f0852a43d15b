import { isSystemError, RipstopError } from '../../base/errors.ts';
import { native } from '../../native/load.ts';
import { type CommandResult, runCommand } from '../command.ts';
import { NetError } from '../error.ts';

/**
 * `RIPSTOP_NFT=program` starts the nft program for each run even where its library is installed: a hundred times slower,
 * for the case that the library misbehaves.
 */
const BY_PROGRAM = process.env.RIPSTOP_NFT === 'program';

/** What is run: a listing, answered in JSON; changes in JSON; changes in nft's language. */
export type NftKind = 'listing' | 'json' | 'script';
const KINDS: readonly NftKind[] = ['listing', 'json', 'script'];

/** How often a transaction is tried that a signal (a child has ended) or another writer interrupted: nothing was changed. */
const TRIES = 20;

/**
 * Runs commands of nft as one transaction: by libnftables within this process where that is installed (0.1 ms), else by
 * the program (5 ms and more).
 * @returns exit code and texts, as of the program
 * @throws NetError when the namespace cannot be entered, RipstopError ENOENT when neither is installed
 */
export async function runNft(netns: string, commands: string, kind: NftKind): Promise<CommandResult> {
  for (let tries = 1; ; tries++) {
    const result =
      (BY_PROGRAM ? undefined : byLibrary(netns, commands, kind)) ?? (await byProgram(netns, commands, kind));
    // EINTR and ERESTART.
    if (result.code === 0 || tries === TRIES || !/Interrupted system call/.test(result.stderr)) return result;
  }
}

function byProgram(netns: string, commands: string, kind: NftKind): Promise<CommandResult> {
  const args = kind === 'script' ? ['-f', '-'] : ['-j', '-f', '-'];
  return runCommand('nft', args, { netns, input: commands, accept: [0, 1] });
}

function byLibrary(netns: string, commands: string, kind: NftKind): CommandResult | undefined {
  try {
    return native.nftRun(netns, Buffer.from(`${commands}\0`), KINDS.indexOf(kind));
  } catch (error) {
    if (!isSystemError(error)) throw error;
    throw new NetError(error.errno, `run nft${netns ? ` in network namespace ${netns}` : ''}`);
  }
}

/** The first line of what nft says that is a sentence; positions in the input mean nothing to the reader. */
export function nftErrorText({ stderr, stdout, code }: CommandResult): string {
  const [first = ''] = (stderr.trim() || stdout.trim() || `exit code ${code}`).split('\n');
  return first;
}

/** @throws RipstopError ECOMMAND with nft's own words */
export function throwNftError(what: string, result: CommandResult): never {
  throw new RipstopError('ECOMMAND', `${what}: ${nftErrorText(result)}`);
}
