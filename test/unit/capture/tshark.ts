import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** The given fields of each packet of a capture, as tshark decodes them; checksums are verified. */
export function tsharkFields(file: Uint8Array, fields: readonly string[], filter = ''): string[][] {
  const checks = ['ip', 'tcp', 'udp'].flatMap(name => ['-o', `${name}.check_checksum:TRUE`]);
  return inFile(file, path =>
    execFileSync(
      'tshark',
      [
        ...[
          '-r',
          path,
          '-n',
          '-T',
          'fields',
          '-E',
          'separator=/t',
          '-E',
          'occurrence=a',
          '-E',
          'aggregator=,',
        ],
        ...['-d', 'udp.port==8472,vxlan', ...checks],
        ...(filter ? ['-Y', filter] : []),
        ...fields.flatMap(field => ['-e', field]),
      ],
      {
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'ignore'],
        env: { ...process.env, TZ: 'UTC' },
        maxBuffer: 64 << 20,
      },
    ),
  )
    .split('\n')
    .filter(line => line !== '')
    .map(line => line.split('\t'));
}

/** Standard output of a command that reads the capture file given as `FILE` among its arguments. */
export function readWith(file: Uint8Array, command: string, args: readonly string[]): string {
  return inFile(file, path =>
    execFileSync(
      command,
      args.map(arg => (arg === 'FILE' ? path : arg)),
      {
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'ignore'],
        env: { ...process.env, TZ: 'UTC' },
      },
    ),
  );
}

function inFile(file: Uint8Array, use: (path: string) => string): string {
  const directory = mkdtempSync(join(tmpdir(), 'rs-capture-'));
  try {
    const path = join(directory, 'capture');
    writeFileSync(path, file);
    return use(path);
  } finally {
    rmSync(directory, { recursive: true });
  }
}
