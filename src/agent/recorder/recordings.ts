import { mkdir, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { hasCode } from '../../base/errors.ts';

/** Name of the directory inside the state directory. */
export const RECORDINGS_NAME = 'recordings';
/** Files that are kept, and bytes of all of them: the state directory is usually in memory. */
const FILES_MAX = 8;
const BYTES_MAX = 32 << 20;

const SUFFIX = '.pcapng';
/** What `FileSink` adds until a file is complete. */
const UNFINISHED = '.part';
/** Of a recording, `20261130T140509123Z-too-big-flannel.1.pcapng`. */
const NAME = /^\d{8}T\d{9}Z-(?<trigger>peer-loss|worker-lag|too-big|reset)-[\w.-]+\.pcapng$/;

/** A frozen recording. */
export interface Recording {
  readonly name: string;
  /** Name of the trigger. */
  readonly trigger: string;
  readonly bytes: number;
  /** When it was frozen, ISO 8601. */
  readonly at: string;
}

/** The frozen recordings in the state directory. */
export class Recordings {
  readonly directory: string;

  constructor(stateDir: string) {
    this.directory = join(stateDir, RECORDINGS_NAME);
  }

  /** Path of a new recording; its directory exists then. @param device may have any characters */
  async newPath(trigger: string, device: string, now = new Date()): Promise<string> {
    await mkdir(this.directory, { recursive: true, mode: 0o700 });
    const time = now.toISOString().replace(/[-:.]/g, '');
    return join(this.directory, `${time}-${trigger}-${device.replace(/[^\w.-]/g, '_')}${SUFFIX}`);
  }

  /** The recordings, the newest first. */
  async list(): Promise<Recording[]> {
    const names = await readdir(this.directory).catch(error => {
      if (hasCode(error, 'ENOENT')) return [];
      throw error;
    });
    const found = await Promise.all(
      names.map(async (name): Promise<Recording[]> => {
        const trigger = NAME.exec(name)?.groups?.trigger;
        if (trigger === undefined) return [];
        const about = await stat(join(this.directory, name)).catch(() => undefined);
        return about ? [{ name, trigger, bytes: about.size, at: timeOf(name) }] : [];
      }),
    );
    return found.flat().sort((a, b) => (a.name < b.name ? 1 : -1));
  }

  /** Path of a recording by its name, undefined for any other file. */
  async find(name: string): Promise<string | undefined> {
    const known = await this.list();
    return known.some(one => one.name === name) ? join(this.directory, name) : undefined;
  }

  /** Removes what an agent that was killed had not finished. Only while none is written. */
  async removeUnfinished(): Promise<void> {
    const names = await readdir(this.directory).catch(() => []);
    const unfinished = names.filter(
      name => name.endsWith(UNFINISHED) && NAME.test(name.slice(0, -UNFINISHED.length)),
    );
    await Promise.all(unfinished.map(name => rm(join(this.directory, name), { force: true })));
  }

  /** Removes the oldest recordings beyond the limits, but never the newest one. @returns names of the removed ones */
  async prune(): Promise<string[]> {
    const removed: string[] = [];
    let bytes = 0;
    for (const [index, recording] of (await this.list()).entries()) {
      bytes += recording.bytes;
      if (index === 0 || (index < FILES_MAX && bytes <= BYTES_MAX)) continue;
      await rm(join(this.directory, recording.name), { force: true });
      removed.push(recording.name);
    }
    return removed;
  }
}

function timeOf(name: string): string {
  return name.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)(\d{3})Z.*$/, '$1-$2-$3T$4:$5:$6.$7Z');
}
