import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import t from 'tap';
import { anyValue, mapOf, record, string } from '../../../../src/base/schema.ts';
import { Bundle, openReport, packBundle, Report } from '../../../../src/diagnose/report/bundle.ts';
import { readTar, writeTar } from '../../../../src/diagnose/report/tar.ts';

const bytes = (text: string): Uint8Array => Buffer.from(text);
const ABOUT = { version: '1.2.3', createdAt: new Date('2026-11-30T11:00:00Z'), pseudonyms: false };

/** A header field, written over, with the checksum made right again. */
function altered(tar: Uint8Array, at: number, text: string): Uint8Array {
  const copy = Buffer.from(tar);
  copy.write(text, at, 'latin1');
  copy.write(' '.repeat(8), 148);
  const sum = copy.subarray(0, 512).reduce((all, byte) => all + byte, 0);
  copy.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return copy;
}

t.test('an archive is read as it was written, also by tar', async t => {
  const files = new Map([
    ['manifest.json', bytes('{}')],
    ['kernel/links.json', bytes('x'.repeat(512))],
    ['agent/empty.pcapng', bytes('')],
  ]);
  const tar = writeTar(files, 1_700_000_000);
  t.same(
    [...readTar(tar)].map(([name, content]) => [name, Buffer.from(content).toString()]),
    [
      ['manifest.json', '{}'],
      ['kernel/links.json', 'x'.repeat(512)],
      ['agent/empty.pcapng', ''],
    ],
  );
  const folder = mkdtempSync(join(tmpdir(), 'rs-tar-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  writeFileSync(join(folder, 'a.tar'), tar);
  t.equal(
    execFileSync('tar', ['-tf', join(folder, 'a.tar')], { encoding: 'utf8' }),
    [...files.keys(), ''].join('\n'),
  );
});

t.test('a hostile archive is refused with a reason', async t => {
  const good = writeTar(new Map([['a.json', bytes('{}')]]), 0);
  const names = ['/etc/passwd', '../a.json', 'a/../b.json', 'A.json', 'a.sh', '__proto__', 'a/b/c.json', ''];
  const cases: [string, Uint8Array, RegExp][] = [
    ...names.map((name): [string, Uint8Array, RegExp] => [
      `the name ${name}`,
      altered(good, 0, name.padEnd(100, '\0')),
      /name of a file/,
    ]),
    ['a link', altered(good, 156, '2'), /not a regular file/],
    ['a folder', altered(good, 156, '5'), /not a regular file/],
    ['another magic', altered(good, 257, 'xxxxx'), /not of ustar/],
    ['a size beyond the end', altered(good, 124, '77777777777'), /ends within a\.json/],
    ['a size that is no number', altered(good, 124, 'zzzzzzzzzzz'), /ends within a\.json/],
    ['a negative size', altered(good, 124, '-0000000001'), /ends within a\.json/],
    ['a wrong checksum', Buffer.from(good).fill('9', 148, 150), /wrong checksum/],
    ['a missing end', good.subarray(0, 1024), /ends early/],
    ['nothing', new Uint8Array(), /ends early/],
    ['a file that occurs twice', Buffer.concat([good.subarray(0, 1024), good]), /occurs twice/],
    [
      'too many files',
      writeTar(new Map(Array.from({ length: 201 }, (_, at) => [`a${at}.json`, bytes('')])), 0),
      /more than 200 files/,
    ],
  ];
  for (const [what, tar, message] of cases) t.throws(() => readTar(tar), { code: 'EREPORT', message }, what);
});

t.test('a report gives what it has by the reader, and the reason for what it lacks', async t => {
  const bundle = new Bundle();
  bundle.files.set('agent/a.json', JSON.parse('{"x":"1","y":2,"__proto__":{"z":"polluted"}}'));
  bundle.files.set('agent/map.json', JSON.parse('{"__proto__":"polluted"}'));
  bundle.lack('agent/b.json', 'no agent');
  const report = new Report(packBundle(bundle, ABOUT).archive, 'r');
  t.same(report.read('agent/a.json', record({ x: string })), { x: '1' });
  report.read('agent/map.json', mapOf(string));
  report.read('agent/a.json', anyValue());
  t.equal(Reflect.get({}, 'z'), undefined);
  t.throws(() => report.read('agent/b.json', string), {
    code: 'EREPORT',
    message: /not in the report: no agent/,
  });
  t.throws(() => report.read('agent/c.json', string), { code: 'EREPORT', message: /not in the report$/ });
  t.throws(() => report.read('agent/a.json', record({ y: string })), {
    code: 'EREPORT',
    message: 'r: agent/a.json.y: 2 is not a text',
  });
});

t.test('a file that is no report, or unpacks to too much, is refused and nothing is written', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'rs-report-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const open = (content: Uint8Array) => {
    writeFileSync(join(folder, 'r'), content);
    return openReport(join(folder, 'r'));
  };
  t.throws(() => open(bytes('hello')), { code: 'EREPORT', message: /cannot be unpacked/ });
  t.throws(() => open(gzipSync(new Uint8Array(193 << 20), { level: 1 })), {
    code: 'EREPORT',
    message: /cannot be unpacked/,
  });
  t.throws(() => open(gzipSync(writeTar(new Map(), 0))), {
    code: 'EREPORT',
    message: /manifest\.json is not in/,
  });
  const deep = new Map([['manifest.json', bytes('['.repeat(100_000))]]);
  t.throws(() => open(gzipSync(writeTar(deep, 0))), { code: 'EREPORT', message: /is not JSON/ });
  t.throws(() => openReport(folder), { code: 'EINVAL', message: /not a regular file/ });
  t.same(readdirSync(folder), ['r']);
});

t.test('a file that is too large is left out and named in the manifest', async t => {
  const bundle = new Bundle();
  bundle.files.set('kernel/a.json', 'x'.repeat(32 << 20));
  bundle.files.set('kernel/b.json', 'x');
  bundle.files.set('agent/c.pcapng', new Uint8Array((96 << 20) + 1));
  bundle.files.set('agent/d.pcapng', new Uint8Array(33 << 20));
  const { manifest } = packBundle(bundle, ABOUT);
  t.match(manifest, {
    files: ['kernel/b.json', 'agent/d.pcapng'],
    missing: [
      { what: 'kernel/a.json', why: /too many/ },
      { what: 'agent/c.pcapng', why: /too many/ },
    ],
  });
});
