import { createWriteStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { RipstopError } from '../../base/errors.ts';
import { FileSink, type FileSinkOptions } from './file-sink.ts';
import type { CaptureSink } from './sink.ts';
import { StreamSink } from './stream-sink.ts';

/**
 * Opens where a capture is written: standard output for `-`, a file or a row of files. A pipe or device that is there
 * is written to, as it is; it is never replaced by a file of its name.
 * @throws RipstopError
 */
export async function openSink(options: FileSinkOptions): Promise<CaptureSink> {
  const { path, format, rotation, statistics } = options;
  if (path === '-') return new StreamSink({ stream: process.stdout, format, statistics });
  if (!(await isSpecial(path))) return FileSink.open(options);
  if (rotation?.bytes !== undefined || rotation?.seconds !== undefined)
    throw new RipstopError('ECONFIG', `${path} is no regular file`, 'only files can be rotated');
  return new StreamSink({ stream: createWriteStream(path), name: path, format, statistics });
}

async function isSpecial(path: string): Promise<boolean> {
  try {
    const there = await stat(path);
    return !there.isFile() && !there.isDirectory();
  } catch {
    // What is not there becomes a file; what else is wrong shows when it is opened.
    return false;
  }
}
