import { access, constants, mkdir, readdir, readFile, stat, unlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { removeOldTemps, writeFileAtomic } from '../../base/atomic-file.ts';
import { hasCode } from '../../base/errors.ts';
import { anyValue, mapOf, parseJson, readKnown, type Shape } from '../../base/schema.ts';
import { LEASE_MAX } from '../lease/lease.ts';

/** Stands for the text of a lease that is larger than any, and is not read. */
export const TOO_LARGE = '(too large)';

/** Bytes of the file of a lease: its indentation, and characters of several bytes, do not count as its text. */
const BYTES_MAX = 4 * LEASE_MAX;

/** Everything that a file store holds at one moment. */
export interface TableContent {
  /** Text of the network configuration; undefined when there is none yet. */
  readonly config: string | undefined;
  /** Text of each lease by its key. */
  readonly entries: ReadonlyMap<string, string>;
}

/**
 * Why this is the content of a store that was emptied, as below a mount point without its volume; false when it is not.
 * @param own key of this node's lease
 */
export function emptiness(
  { config, entries }: TableContent,
  own: string | undefined,
  configName: string,
): string | false {
  if (config !== undefined || own === undefined || entries.has(own)) return false;
  return `${configName} and the lease of this node are gone`;
}

/** What has to be read again: one lease, all, or nothing. */
export type Meaning = { readonly key: string } | 'all' | 'nothing';

/** The two layouts of the file store. Writers hold the lock at `lockPath`; readers need none. */
export interface LeaseFile {
  readonly lockPath: string;
  /** Directory of the heartbeats, one file per public address. */
  readonly presencePath: string;
  /** Name of the configuration, for messages. */
  readonly configName: string;
  /** Directories whose changes matter. */
  readonly watched: readonly string[];
  /** Makes the directories that a node writes to. Until then they may be missing, once `allowMissing` was called. */
  prepare(): Promise<void>;
  /** For a reader that changes nothing: a store that no node has written to has no leases. */
  allowMissing?(): void;
  read(): Promise<TableContent>;
  /**
   * Where a lease is a file of its own: the texts of some keys, undefined for those that are not there.
   * @returns undefined where this layout has to be read whole
   */
  readSome?(keys: Iterable<string>): Promise<Map<string, string | undefined>>;
  /** What a change of `name` in the watched directory `path` means; null: the system gave no name. */
  meaning(path: string, name: string | null): Meaning;
  put(key: string, lease: object): Promise<void>;
  remove(key: string): Promise<void>;
  /** Fails where leases cannot be written (a file system that is read-only, rights). */
  checkWritable(): Promise<void>;
  /** Removes the temporary files of writers that were killed. @param before by the clock of the file server, ms */
  removeOldTemps(before: number): Promise<void>;
}

/** A path that ends in `.json` is one file, anything else a directory. */
export function openTable(path: string): LeaseFile {
  return path.endsWith('.json') ? new SingleFileTable(path) : new DirectoryTable(path);
}

/** `config.json`, `subnets/<key>`, `nodes/<address>`: one file per lease, so that writers rarely collide. */
class DirectoryTable implements LeaseFile {
  readonly lockPath: string;
  readonly presencePath: string;
  readonly configName: string;
  readonly watched: readonly string[];
  readonly #subnets: string;
  /** Texts by file name with the stamp they were read under: an unchanged file is not read again. */
  #cache = new Map<string, { stamp: string; text: string }>();
  #isPrepared = false;
  #mayMiss = false;

  constructor(path: string) {
    this.#subnets = join(path, 'subnets');
    this.lockPath = join(path, 'lock');
    this.presencePath = join(path, 'nodes');
    this.configName = join(path, 'config.json');
    this.watched = [path, this.#subnets];
  }

  async prepare(): Promise<void> {
    await mkdir(this.#subnets, { recursive: true });
    await mkdir(this.presencePath, { recursive: true });
    this.#isPrepared = true;
    this.#mayMiss = false;
  }

  allowMissing(): void {
    // A directory that was there and is gone is a volume without its mount.
    this.#mayMiss = !this.#isPrepared;
  }

  async #names(): Promise<string[]> {
    try {
      return await readdir(this.#subnets);
    } catch (error) {
      if (this.#mayMiss && hasCode(error, 'ENOENT')) return [];
      throw error;
    }
  }

  async read(): Promise<TableContent> {
    const config = await readIfThere(this.configName);
    const names = (await this.#names()).filter(name => !name.endsWith('.tmp'));
    const cache = new Map<string, { stamp: string; text: string }>();
    const entries = new Map<string, string>();
    for (const name of names.sort()) {
      const path = join(this.#subnets, name);
      const found = await stat(path, { bigint: true }).catch(() => undefined);
      if (!found?.isFile()) continue;
      if (found.size > BYTES_MAX) {
        entries.set(name, TOO_LARGE);
        continue;
      }
      const stamp = `${found.ino}.${found.size}.${found.mtimeNs}`;
      const known = this.#cache.get(name);
      const text = known?.stamp === stamp ? known.text : await readIfThere(path);
      if (text === undefined) continue;
      cache.set(name, { stamp, text });
      entries.set(name, text);
    }
    this.#cache = cache;
    return { config, entries };
  }

  async readSome(keys: Iterable<string>): Promise<Map<string, string | undefined>> {
    const texts = new Map<string, string | undefined>();
    for (const key of keys) {
      const path = join(this.#subnets, key);
      const found = await stat(path).catch(() => undefined);
      const isLarge = found !== undefined && found.size > BYTES_MAX;
      const text = async () => (isLarge ? TOO_LARGE : readIfThere(path));
      texts.set(key, found?.isFile() ? await text() : undefined);
      // The file may change again within the resolution of its time stamp.
      this.#cache.delete(key);
    }
    return texts;
  }

  meaning(path: string, name: string | null): Meaning {
    if (name === null) return 'all';
    if (name.endsWith('.tmp')) return 'nothing';
    if (path === this.#subnets) return { key: name };
    return name === 'lock' ? 'nothing' : 'all';
  }

  async put(key: string, lease: object): Promise<void> {
    await writeFileAtomic(join(this.#subnets, key), `${JSON.stringify(lease)}\n`);
  }

  async remove(key: string): Promise<void> {
    await unlink(join(this.#subnets, key)).catch(ignoreAbsent);
  }

  async checkWritable(): Promise<void> {
    await access(this.#subnets, constants.W_OK);
  }

  async removeOldTemps(before: number): Promise<void> {
    for (const directory of [this.#subnets, this.presencePath]) await removeOldTemps(directory, before);
  }
}

/** Values are of any kind here: `parseNetConf` and `parseAttributes` read them. */
const SINGLE_FILE_FIELDS = {
  config: anyValue('network configuration'),
  subnets: mapOf(anyValue('attributes of a lease'), 'leases by their key'),
};

type SingleFile = Partial<Shape<typeof SINGLE_FILE_FIELDS>>;

/** One JSON object `{"config": …, "subnets": {"<key>": …}}`, replaced as a whole. */
class SingleFileTable implements LeaseFile {
  readonly lockPath: string;
  readonly presencePath: string;
  readonly configName: string;
  readonly watched: readonly string[];
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
    this.lockPath = `${path}.lock`;
    this.presencePath = `${path}.nodes`;
    this.configName = `${path}: config`;
    this.watched = [dirname(path)];
  }

  async prepare(): Promise<void> {
    await mkdir(this.presencePath, { recursive: true });
  }

  async read(): Promise<TableContent> {
    const whole = await this.#load();
    return {
      config: whole.config === undefined ? undefined : JSON.stringify(whole.config),
      entries: new Map(
        Object.entries(whole.subnets ?? {}).map(([key, value]) => {
          const text = JSON.stringify(value);
          return [key, text.length > BYTES_MAX ? TOO_LARGE : text];
        }),
      ),
    };
  }

  meaning(_path: string, name: string | null): Meaning {
    return name === null || name === basename(this.#path) ? 'all' : 'nothing';
  }

  async put(key: string, lease: object): Promise<void> {
    const whole = await this.#load();
    await this.#store({ ...whole, subnets: { ...whole.subnets, [key]: lease } });
  }

  async remove(key: string): Promise<void> {
    const whole = await this.#load();
    if (!whole.subnets || !Object.hasOwn(whole.subnets, key)) return;
    const { [key]: _gone, ...subnets } = whole.subnets;
    await this.#store({ ...whole, subnets });
  }

  async checkWritable(): Promise<void> {
    await access(dirname(this.#path), constants.W_OK);
  }

  async removeOldTemps(before: number): Promise<void> {
    await removeOldTemps(dirname(this.#path), before, basename(this.#path));
    await removeOldTemps(this.presencePath, before);
  }

  async #load(): Promise<SingleFile> {
    const text = await readIfThere(this.#path);
    if (text === undefined) return {};
    // A damaged file is never overwritten: a person changed it, and a person has to correct it.
    const value = parseJson(text, this.#path);
    return { ...(value as object), ...readKnown(SINGLE_FILE_FIELDS, value, this.#path) };
  }

  async #store(whole: SingleFile): Promise<void> {
    await writeFileAtomic(this.#path, `${JSON.stringify(whole, null, 2)}\n`);
  }
}

async function readIfThere(path: string): Promise<string | undefined> {
  return readFile(path, 'utf8').catch(error => {
    ignoreAbsent(error);
    return undefined;
  });
}

function ignoreAbsent(error: unknown): void {
  if (!hasCode(error, 'ENOENT')) throw error;
}
