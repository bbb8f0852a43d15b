import { RipstopError } from '../../base/errors.ts';
import { runNft, throwNftError } from './run.ts';

/*
 * nftables in nft's language and its JSON (libnftables-json(5)): one run is one kernel transaction, so a table is replaced
 * whole or stays as it was.
 */

/** One command or object of libnftables' JSON, as in `{ add: { table: { family: 'ip', name: 'x' } } }`. */
export type NftObject = Readonly<Record<string, unknown>>;

/** Runs the commands as one transaction. @throws RipstopError ECOMMAND with nft's message; nothing was changed then */
export async function applyNft(netns: string, commands: readonly NftObject[]): Promise<void> {
  if (commands.length === 0) return;
  const result = await runNft(netns, JSON.stringify({ nftables: commands }), 'json');
  if (result.code !== 0) throwNftError('nft -j -f -', result);
}

/** Runs a script in nft's own language as one transaction. @throws RipstopError ECOMMAND */
export async function applyNftScript(netns: string, script: string): Promise<void> {
  const result = await runNft(netns, script, 'script');
  if (result.code !== 0) throwNftError('nft -f -', result);
}

/**
 * The objects of `nft list <what>`, as in `['table', 'inet', 'ripstop']`; an empty list when that is not there.
 * @throws RipstopError ECOMMAND, or EBADMSG when the output is not JSON
 */
export async function listNft(netns: string, what: readonly string[]): Promise<NftObject[]> {
  const result = await runNft(netns, `list ${what.join(' ')}`, 'listing');
  if (result.code !== 0) {
    if (/No such file or directory/.test(result.stderr)) return [];
    throwNftError(`nft list ${what.join(' ')}`, result);
  }
  const parsed = parse(result.stdout);
  return parsed.filter(object => !('metainfo' in object));
}

function parse(text: string): NftObject[] {
  if (text.trim() === '') return [];
  try {
    const { nftables } = JSON.parse(text) as { nftables?: unknown };
    if (Array.isArray(nftables)) return nftables as NftObject[];
  } catch (error) {
    throw new RipstopError('EBADMSG', 'nft -j list: the output is not JSON', undefined, { cause: error });
  }
  throw new RipstopError('EBADMSG', 'nft -j list: the output has no "nftables" list');
}
