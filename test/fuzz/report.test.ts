import { gunzipSync, gzipSync } from 'node:zlib';
import t from 'tap';
import { answerOf, FILE_FIELDS, type ReportPath } from '../../src/api/report/files.ts';
import { replayConfigOf, traceFrom } from '../../src/cli/commands/report/report-file.ts';
import { packBundle, Report } from '../../src/diagnose/report/bundle.ts';
import { readTar, writeTar } from '../../src/diagnose/report/tar.ts';
import { sampleBundle } from '../fixtures/report/sample.ts';
import { campaign, refusing } from './campaign/campaign.ts';
import { alterJson } from './campaign/mutate-text.ts';

/* Reports come from other people: what is read is of the schema, or it is refused with EREPORT. Traces and replays end. */

const PATHS: readonly ReportPath[] = [
  ...([
    '/status',
    '/peers',
    '/routes',
    '/leases',
    '/pending',
    '/audit',
    '/drops',
    '/doctor',
    '/log',
  ] as const),
];
const ENDS = { sourcePort: 40_000, destinationPort: 80, size: 40 };
const PACKETS = [
  { source: '10.244.1.5', destination: '10.244.2.7', protocol: 'tcp', ...ENDS },
  { source: '10.244.2.7', destination: '10.244.1.5', protocol: 'udp', ...ENDS },
  { source: 'fd00::1', destination: 'fd00::2', protocol: 'tcp', ...ENDS, size: 60 },
] as const;

const { archive } = packBundle(sampleBundle(), { version: '1', createdAt: new Date(0), pseudonyms: false });
const tar = gunzipSync(archive);
const files = readTar(tar);

/** True where `use` succeeds, false where it refuses as a report may. */
async function accepts(use: () => Promise<unknown> | unknown): Promise<boolean> {
  try {
    await use();
    return true;
  } catch (error) {
    return refusing(
      () => {
        throw error;
      },
      'EREPORT',
      'ECONFIG',
    );
  }
}

/** Reads and traces everything, and checks that nothing got into the prototype of all objects. */
async function readAll(packed: Uint8Array): Promise<boolean> {
  const isRead = await accepts(async () => {
    const report = new Report(packed, 'fuzz');
    for (const path of PATHS) await accepts(() => answerOf(report, path));
    for (const [file, field] of Object.entries(FILE_FIELDS)) await accepts(() => report.read(file, field));
    await accepts(() => replayConfigOf(report, undefined));
    for (const packet of PACKETS) await accepts(() => traceFrom(report, packet));
  });
  if (Object.keys(Object.prototype).length > 0) throw new Error('a prototype has changed');
  return isRead;
}

/** The archive with other bytes in one file. */
const withFile = (name: string, bytes: Uint8Array): Uint8Array =>
  gzipSync(writeTar(new Map([...files, [name, bytes]]), 0), { level: 1 });

t.test('a compressed archive with damage', async t => {
  await campaign(t, { name: 'report-gzip', pace: 100, seeds: [archive], parse: readAll });
});

t.test('an archive with damage', async t => {
  await campaign(t, {
    name: 'report-tar',
    pace: 100,
    seeds: [new Uint8Array(tar)],
    parse: bytes => readAll(gzipSync(bytes, { level: 1 })),
  });
});

t.test('each file, with other JSON in it', async t => {
  const used = [
    'manifest.json',
    'agent/node.json',
    ...[...files.keys()].filter(name => name.startsWith('kernel/')),
  ];
  for (const name of used)
    await campaign(t, {
      name: `report-${name.replaceAll(/[/.]/g, '-')}`,
      pace: 40,
      seeds: [new Uint8Array(files.get(name) ?? [])],
      alter: alterJson,
      parse: bytes => readAll(withFile(name, bytes)),
    });
});
