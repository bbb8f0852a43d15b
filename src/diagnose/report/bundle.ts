import { gunzipSync, gzipSync } from 'node:zlib';
import { messageOf, RipstopError } from '../../base/errors.ts';
import { readRegularBytes } from '../../base/files/regular-file.ts';
import {
  boolean,
  described,
  type Field,
  listOf,
  oneOf,
  readJson,
  record,
  string,
  type ValueOf,
} from '../../base/schema.ts';
import { readTar, writeTar } from './tar.ts';

/*
 * A report of `ripstop report`: a compressed archive of JSON files and captures, with a manifest. Others hand it in, so that nothing
 * in it is trusted: sizes are bounded, names are checked and never used as a path, JSON is read by the readers of the API.
 */

/** Largest archive, compressed and unpacked, bytes. The writer leaves out what would exceed the second one. */
const PACKED_MAX = 128 << 20;
const UNPACKED_MAX = 192 << 20;
/** Largest files of an archive, bytes. */
const JSON_MAX = 32 << 20;
export const BINARY_MAX = 96 << 20;
/** Room for headers and manifest. */
const RESERVE = 8 << 20;
const MANIFEST = 'manifest.json';
const FORMAT = 'ripstop-bundle/1';

const missing = record({
  what: described('name of the file, or what it would have shown', string),
  why: described('why it is not in the archive', string),
});
export const missingFiles = listOf(missing);

const manifest = record({
  format: described('format of the archive', oneOf([FORMAT])),
  version: described('version of the program that wrote it', string),
  createdAt: described('when it was written', string),
  pseudonyms: described('names and addresses are pseudonyms', boolean),
  files: described('names of the files', listOf(string)),
  missing: described('what could not be had, and why', missingFiles),
});

export type Missing = ValueOf<typeof missing>;
export type Manifest = ValueOf<typeof manifest>;

/** What is collected for a report: values of JSON files, bytes of other ones, by name. */
export class Bundle {
  readonly files = new Map<string, unknown>();
  readonly missing: Missing[] = [];

  lack(what: string, why: string): void {
    this.missing.push({ what, why });
  }
}

/**
 * The archive of a bundle, and its manifest. Files that are too large are left out and named in the manifest.
 * @param about of the program and the time
 */
export function packBundle(
  { files, missing }: Bundle,
  about: { readonly version: string; readonly createdAt: Date; readonly pseudonyms: boolean },
): { archive: Uint8Array; manifest: Manifest } {
  const kept = new Map<string, Uint8Array>();
  const left: Missing[] = [];
  let total = RESERVE;
  for (const [name, value] of files) {
    const content = value instanceof Uint8Array ? value : jsonBytes(value);
    const most = value instanceof Uint8Array ? BINARY_MAX : JSON_MAX;
    if (content.length > most || total + content.length > UNPACKED_MAX)
      left.push({ what: name, why: `its ${content.length} bytes are too many for the archive` });
    else {
      kept.set(name, content);
      total += content.length;
    }
  }
  const whole: Manifest = {
    format: FORMAT,
    version: about.version,
    createdAt: about.createdAt.toISOString(),
    pseudonyms: about.pseudonyms,
    files: [...kept.keys()],
    missing: [...missing, ...left],
  };
  const seconds = Math.floor(about.createdAt.getTime() / 1000);
  return {
    archive: gzipSync(writeTar(new Map([[MANIFEST, jsonBytes(whole)], ...kept]), seconds)),
    manifest: whole,
  };
}

function jsonBytes(value: unknown): Uint8Array {
  return Buffer.from(`${JSON.stringify(value, null, 1)}\n`);
}

/** A report that was read. */
export class Report {
  readonly #files: ReadonlyMap<string, Uint8Array>;
  readonly #path: string;
  readonly manifest: Manifest;

  /** @throws RipstopError EREPORT */
  constructor(archive: Uint8Array, path: string) {
    this.#path = path;
    this.#files = readTar(unpack(archive, path));
    this.manifest = this.read(MANIFEST, manifest);
  }

  /** The JSON of a file. @throws RipstopError EREPORT; a missing file is named with the reason of the manifest */
  read<T>(name: string, field: Field<T>): T {
    const content = this.#files.get(name);
    const where = `${this.#path}: ${name}`;
    if (!content) {
      const reason = name === MANIFEST ? undefined : this.manifest.missing.find(({ what }) => what === name);
      throw new RipstopError('EREPORT', `${where} is not in the report${reason ? `: ${reason.why}` : ''}`);
    }
    if (content.length > JSON_MAX)
      throw new RipstopError('EREPORT', `${where} has more than ${JSON_MAX} bytes`);
    return readJson(field, Buffer.from(content).toString('utf8'), where, 'EREPORT');
  }
}

/** Reads the report in a file. @throws RipstopError EREPORT, EFBIG, EINVAL; errors of the file system */
export function openReport(path: string): Report {
  return new Report(readRegularBytes(path, PACKED_MAX), path);
}

function unpack(archive: Uint8Array, path: string): Uint8Array {
  try {
    return gunzipSync(archive, { maxOutputLength: UNPACKED_MAX });
  } catch (error) {
    throw new RipstopError(
      'EREPORT',
      `${path} is not a report: it cannot be unpacked within ${UNPACKED_MAX} bytes (${messageOf(error)})`,
      'give a file of `ripstop report`',
    );
  }
}
