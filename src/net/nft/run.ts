import { RipstopError } from '../../base/errors.ts';
import { native } from '../../native/load.ts';
import { type CommandResult, runCommand } from '../command.ts';
import { inNamespace } from '../error.ts';

/**
 * `RIPSTOP_NFT=program` starts the nft program for each run even where its library is installed: a hundred times slower,
 * for the case that the library misbehaves.
 */
const BY_PROGRAM = process.env.RIPSTOP_NFT === 'program';

/** What is run: a listing, answered in JSON; changes in JSON; changes in nft's language. */
type NftKind = 'listing' | 'json' | 'script';
const KINDS: readonly NftKind[] = ['listing', 'json', 'script'];

/**
 * Most attempts of a transaction that another writer interrupts while the rules are read; it has changed nothing then. Signals
 * are blocked meanwhile (nft.cc): one that comes after the change would be reported in the same words.
 */
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
  const bytes = Buffer.from(`${commands}\0`);
  return inNamespace(netns, 'run nft', () => native.nftRun(netns, bytes, KINDS.indexOf(kind)));
}

/** @throws RipstopError ECOMMAND with the first line of nft's output; the others are positions in the input */
export function throwNftError(what: string, { stderr, stdout, code }: CommandResult): never {
  const [first] = (stderr.trim() || stdout.trim() || `exit code ${code}`).split('\n');
  throw new RipstopError('ECOMMAND', `${what}: ${first}`);
}
