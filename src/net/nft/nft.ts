import { anyValue, listOf, mapOf, readJson, record } from '../../base/schema.ts';
import { runNft, throwNftError } from './run.ts';

/*
 * nftables in nft's language and its JSON (libnftables-json(5)): one run is one kernel transaction, so a table is replaced
 * whole or stays as it was.
 */

/** One command or object of libnftables' JSON, as in `{ add: { table: { family: 'ip', name: 'x' } } }`. */
export type NftObject = Readonly<Record<string, unknown>>;

const OUTPUT = record({ nftables: listOf(mapOf(anyValue())) });

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
 * @throws RipstopError ECOMMAND, or EBADMSG for output of another form
 */
export async function listNft(netns: string, what: readonly string[]): Promise<NftObject[]> {
  const result = await runNft(netns, `list ${what.join(' ')}`, 'listing');
  if (result.code !== 0) {
    if (/No such file or directory/.test(result.stderr)) return [];
    throwNftError(`nft list ${what.join(' ')}`, result);
  }
  if (result.stdout.trim() === '') return [];
  const { nftables } = readJson(OUTPUT, result.stdout, 'nft -j list', 'EBADMSG');
  return nftables.filter(object => !('metainfo' in object));
}
