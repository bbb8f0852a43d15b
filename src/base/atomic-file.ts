import { randomBytes } from 'node:crypto';
import { mkdir, open, rename, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import { messageOf, toError } from './errors.ts';

/**
 * Replaces a file so that a reader sees the old text or the new one, also after a power cut: temporary file in
 * the same directory, fsync, rename, fsync of the directory. On failure (disk full) the old file stays.
 */
export async function writeFileAtomic(path: string, text: string, mode = 0o644): Promise<void> {
  const directory = dirname(path);
  await mkdir(directory, { recursive: true });
  const temporary = `${path}.${process.pid}.${randomBytes(4).toString('hex')}.tmp`;
  try {
    const file = await open(temporary, 'wx', mode);
    try {
      await file.writeFile(text);
      // Set again because open() masks the mode with the umask.
      await file.chmod(mode);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await unlink(temporary).catch(() => {});
    // The file that is meant, not the temporary one, whose name differs each time: a message that repeats is said once.
    const [fault] = messageOf(error).split(', ', 1);
    throw Object.assign(toError(error), { message: `${path}: ${fault}` });
  }
  await syncDirectory(directory);
}

/** Makes renames and unlinks in a directory durable; silently nothing where the file system cannot. */
async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, 'r').catch(() => undefined);
  if (!handle) return;
  try {
    await handle.sync();
  } catch {
    // Some network file systems refuse fsync on a directory; the rename itself is still atomic there.
  } finally {
    await handle.close();
  }
}
