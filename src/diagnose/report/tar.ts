import { RipstopError } from '../../base/errors.ts';

/*
 * The part of the ustar format (POSIX.1-1988, pax(1)) that a report needs: regular files with short names. A reader of ours
 * takes nothing else, so that an archive cannot name a path, a link or a device.
 */

const BLOCK = 512;
/** Offset and length of the fields of a header that are used. */
const NAME = [0, 100] as const;
const MODE = [100, 8] as const;
const SIZE = [124, 12] as const;
const MTIME = [136, 12] as const;
const CHECKSUM = [148, 8] as const;
const TYPE = 156;
const MAGIC = [257, 8] as const;
const USTAR = 'ustar\x0000';
const REGULAR = '0';

/** More files than a report has; an archive may have no more of them. */
const FILES_MAX = 200;
const FILE_NAME = /^[a-z0-9][a-z0-9-]*(\/[a-z0-9][a-z0-9-]*)?\.(json|pcapng)$/;

/** @param files contents by name; a name has at most one folder @param mtime seconds */
export function writeTar(files: ReadonlyMap<string, Uint8Array>, mtime: number): Uint8Array {
  const blocks: Uint8Array[] = [];
  for (const [name, content] of files) {
    const header = Buffer.alloc(BLOCK);
    const put = ([at, length]: readonly [number, number], text: string) => header.write(text, at, length);
    const putOctal = (field: readonly [number, number], value: number) =>
      put(field, value.toString(8).padStart(field[1] - 1, '0'));
    put(NAME, name);
    putOctal(MODE, 0o600);
    putOctal(SIZE, content.length);
    putOctal(MTIME, mtime);
    header.write(REGULAR, TYPE);
    header.write(USTAR, MAGIC[0], 'latin1');
    put(CHECKSUM, `${checksumOf(header).toString(8).padStart(6, '0')}\0 `);
    blocks.push(header, content, new Uint8Array(-content.length & (BLOCK - 1)));
  }
  return Buffer.concat([...blocks, new Uint8Array(2 * BLOCK)]);
}

/**
 * The files of an archive of `writeTar`.
 * @throws RipstopError EREPORT for anything else
 */
export function readTar(bytes: Uint8Array): Map<string, Uint8Array> {
  const archive = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const files = new Map<string, Uint8Array>();
  let at = 0;
  for (;;) {
    const header = archive.subarray(at, at + BLOCK);
    if (header.length < BLOCK) refuse('the archive ends early');
    if (header.every(byte => byte === 0)) return files;
    const name = textOf(header, NAME);
    if (octalOf(header, CHECKSUM) !== checksumOf(header)) refuse('a header has a wrong checksum');
    if (!header.toString('latin1', ...range(MAGIC)).startsWith('ustar')) refuse('a header is not of ustar');
    if (header.toString('latin1', TYPE, TYPE + 1) !== REGULAR) refuse('an entry is not a regular file');
    if (!FILE_NAME.test(name) || files.has(name))
      refuse('the name of a file is not one of a report, or occurs twice');
    if (files.size === FILES_MAX) refuse(`there are more than ${FILES_MAX} files`);
    const size = octalOf(header, SIZE);
    const start = at + BLOCK;
    if (!(size <= archive.length - start)) refuse(`the archive ends within ${name}`);
    files.set(name, archive.subarray(start, start + size));
    at = start + Math.ceil(size / BLOCK) * BLOCK;
  }
}

/** The sum of the bytes of a header, its checksum field taken as spaces. */
function checksumOf(header: Uint8Array): number {
  const [from, to] = range(CHECKSUM);
  return header.reduce((sum, byte, at) => sum + (at >= from && at < to ? 0x20 : byte), 0);
}

function textOf(header: Buffer, field: readonly [number, number]): string {
  const [text = ''] = header.toString('latin1', ...range(field)).split('\0');
  return text;
}

/** NaN for a field that is not octal. */
function octalOf(header: Buffer, field: readonly [number, number]): number {
  const text = textOf(header, field).trim();
  return /^[0-7]+$/.test(text) ? Number.parseInt(text, 8) : Number.NaN;
}

function range([at, length]: readonly [number, number]): [number, number] {
  return [at, at + length];
}

function refuse(problem: string): never {
  throw new RipstopError('EREPORT', `not a report: ${problem}`, 'give a file of `ripstop report`');
}
