import { readFileSync, writeFileSync } from 'node:fs';
import t from 'tap';
import { parseProgram, runProgram } from '../../../../src/capture/filter/bpf.ts';
import { compileFilter } from '../../../../src/capture/filter/filter-compiler.ts';
import { LINK_ETHERNET, LINK_RAW } from '../../../../src/capture/format/packet.ts';
import { PcapFormat } from '../../../../src/capture/format/pcap/writer.ts';
import { seeded } from '../../../fixtures/random.ts';
import { skipUnless } from '../../../fixtures/skip-unless.ts';
import { written } from '../fixtures/files.ts';
import { randomPacket } from '../fixtures/frames.ts';
import { readWith } from '../fixtures/tshark.ts';

const program = (...lines: string[]) => [lines.length, ...lines].join('\n');
const run = (text: string, bytes: readonly number[], length = bytes.length) =>
  runProgram(parseProgram(text), Uint8Array.from(bytes), length);

t.test('loads, arithmetic and jumps', async t => {
  const packet = [0x45, 0xff, 0xee, 0xdd, 0xcc, 0xbb];
  const loaded = (...lines: string[]) => run(program(...lines, '22 0 0 0'), packet, 900);
  t.equal(loaded('32 0 0 1'), 0xffeeddcc, 'ld [1]');
  t.equal(loaded('40 0 0 4'), 0xccbb, 'ldh [4]');
  t.equal(loaded('48 0 0 5'), 0xbb, 'ldb [5]');
  t.equal(loaded('1 0 0 2', '72 0 0 2'), 0xccbb, 'ldh [x + 2]');
  t.equal(loaded('128 0 0 0'), 900, 'ld #pktlen');
  t.equal(loaded('129 0 0 0', '135 0 0 0'), 900, 'ldx #pktlen; txa');
  t.equal(loaded('177 0 0 0', '135 0 0 0'), 20, 'ldxb 4*([0]&0xf)');
  t.equal(loaded('0 0 0 7', '2 0 0 15', '0 0 0 1', '96 0 0 15'), 7, 'st M[15]; ld M[15]');
  t.equal(loaded('1 0 0 7', '3 0 0 0', '97 0 0 0', '135 0 0 0'), 7, 'stx M[0]; ldx M[0]');
  t.equal(loaded('0 0 0 4294967295', '4 0 0 2'), 1, 'add wraps');
  t.equal(loaded('0 0 0 1', '20 0 0 2'), 0xffffffff, 'sub wraps');
  t.equal(loaded('0 0 0 4294967295', '36 0 0 4294967295'), 1, 'mul');
  t.equal(loaded('0 0 0 4294967295', '52 0 0 10'), 429496729, 'div is unsigned');
  t.equal(loaded('0 0 0 17', '148 0 0 5'), 2, 'mod');
  t.equal(loaded('0 0 0 1', '100 0 0 31'), 0x80000000, 'lsh');
  t.equal(loaded('0 0 0 1', '100 0 0 32'), 0, 'lsh by all bits');
  t.equal(loaded('0 0 0 2147483648', '116 0 0 31'), 1, 'rsh is unsigned');
  t.equal(loaded('0 0 0 1', '132 0 0 0'), 0xffffffff, 'neg');
  t.equal(loaded('0 0 0 12', '164 0 0 10'), 6, 'xor');
  t.equal(loaded('0 0 0 12', '68 0 0 3', '84 0 0 13'), 13, 'or, and');
  t.equal(loaded('0 0 0 5', '7 0 0 0', '12 0 0 0'), 10, 'tax; add x');
  t.equal(loaded('0 0 0 5', '37 0 1 4', '0 0 0 100'), 100, 'jgt true falls through');
  t.equal(loaded('0 0 0 4', '37 0 1 4', '0 0 0 100'), 4, 'jgt is strict');
  t.equal(loaded('0 0 0 4', '53 1 0 4', '0 0 0 100'), 4, 'jge');
  t.equal(loaded('0 0 0 4', '69 1 0 5', '0 0 0 100'), 4, 'jset');
  t.equal(loaded('0 0 0 4', '5 0 0 1', '0 0 0 100'), 4, 'ja');
});

t.test('loads outside the packet and a division by an index of zero reject it', async t => {
  t.equal(run(program('32 0 0 3', '6 0 0 9'), [1, 2, 3, 4, 5, 6]), 0);
  t.equal(run(program('32 0 0 2', '6 0 0 9'), [1, 2, 3, 4, 5, 6]), 9);
  t.equal(
    run(program('1 0 0 4294967295', '80 0 0 2', '6 0 0 9'), [1, 2, 3, 4]),
    0,
    'index and offset do not wrap',
  );
  t.equal(run(program('177 0 0 4294967295', '6 0 0 9'), [1]), 0);
  t.equal(run(program('60 0 0 0', '6 0 0 9'), [1]), 0);
  t.equal(run(program('156 0 0 0', '6 0 0 9'), [1]), 0);
});

t.test('a program that is not safe is refused', async t => {
  const bad: [string, RegExp][] = [
    ['', /announced/],
    ['x', /announced/],
    [program('6 0 0 0').replace('1', '2'), /"2" instructions are announced and 1 follow/],
    [program('0 0 0'), /instruction 0 is "0 0 0"/],
    [program('6 0 0 99999999999'), /instruction 0 is/],
    [program('6 0 0 4294967296'), /too wide/],
    [program('0 0 0 0'), /not a return/],
    [program('21 0 5 1', '6 0 0 0'), /out of the program/],
    [program('5 0 0 4294967295', '6 0 0 0'), /backwards or out of the program/],
    [program('5 0 0 1', '6 0 0 0'), /out of the program/],
    [program('52 0 0 0', '6 0 0 0'), /division by zero/],
    [program('148 0 0 0', '6 0 0 0'), /division by zero/],
    [program('2 0 0 16', '6 0 0 0'), /memory slot 16/],
    [program('97 0 0 16', '6 0 0 0'), /memory slot 16/],
    [program('48 0 0 4294963204', '6 0 0 0'), /metadata of a kernel socket/],
    [program('6 0 0 0', '255 0 0 0'), /unknown code 0xff/],
    [program('180 0 0 1', '6 0 0 0'), /unknown code 0xb4/],
    [program('140 0 0 1', '6 0 0 0'), /unknown code 0x8c/],
    [program(...Array(5000).fill('6 0 0 0')), /the limit is 4096/],
  ];
  for (const [text, expected] of bad)
    t.throws(() => parseProgram(text), { code: 'EFILTER', message: expected });
});

t.test('random programs: refused, or they end without leaving their arrays', async t => {
  const random = seeded(t, 74);
  const codes = [
    0, 32, 40, 48, 64, 72, 80, 96, 128, 1, 97, 129, 177, 2, 3, 5, 21, 29, 37, 53, 69, 6, 22, 7, 135, 132,
  ];
  let accepted = 0;
  for (let round = 0; round < 4000; round++) {
    const lines = Array.from({ length: random.between(1, 12) }, () =>
      [
        random.chance(0.9)
          ? random.pick([
              ...codes,
              ...codes.map(code =>
                (code & 7) === 4 ? code : 4 + 16 * random.between(0, 11) + 8 * random.between(0, 1),
              ),
            ])
          : random.between(0, 300),
        random.between(0, 3),
        random.between(0, 3),
        random.pick([0, 1, 4, 15, 16, 31, 32, 0x7fffffff, 0x80000000, 0xffffffff, random.uint32()]),
      ].join(' '),
    );
    let parsed: ReturnType<typeof parseProgram>;
    try {
      parsed = parseProgram(program(...lines, '22 0 0 0'));
    } catch {
      continue;
    }
    accepted++;
    const bytes = random.bytes(random.between(0, 64));
    const result = runProgram(parsed, bytes, bytes.length + random.between(0, 100));
    if (!(Number.isInteger(result) && result >= 0 && result <= 0xffffffff)) t.fail(`${lines} gave ${result}`);
  }
  t.ok(accepted > 200, `${accepted} programs ran`);
});

const FILTERS = [
  'ip',
  'ip6',
  'tcp',
  'udp',
  'icmp or icmp6',
  'tcp port 80',
  'udp and not port 53',
  'src host 10.244.1.5',
  'host fd00:1::5 and tcp',
  'src net 10.244.1.0/24 and dst net 10.244.2.0/24',
  'net fd00:2::/32',
  'portrange 50000-50050',
  'src port 443 or dst port 8080',
  'tcp[tcpflags] & (tcp-syn|tcp-fin) != 0',
  'ip[8] = 64 and ip[6:2] & 0x1fff = 0',
  'len > 150',
  'greater 100 and less 180',
  'ip and (tcp[13] == 0x18 or udp[4:2] - 8 > 100)',
  'not (tcp or udp)',
  'tcp[((tcp[12] & 0xf0) >> 2):1] > 128',
  'ip6[40:2] % 7 = 3',
  'udp[8] * 3 / 2 > 100',
  'proto \\tcp',
];
const ETHERNET_FILTERS = [
  'arp',
  'ether host 02:00:00:00:00:01',
  'vlan',
  'vlan and tcp',
  'vlan 100 or udp',
  'ether multicast',
  'ether[12:2] = 0x86dd',
];

t.test('what tcpdump selects from a file, we select', { skip: skipUnless('tcpdump') }, async t => {
  const random = seeded(t, 75);
  for (const [link, kind, filters] of [
    [LINK_ETHERNET, 'ethernet', [...FILTERS, ...ETHERNET_FILTERS]],
    [LINK_RAW, 'raw', FILTERS],
  ] as const) {
    const packets = Array.from({ length: 300 }, (_, i) => {
      const bytes = randomPacket(random, kind);
      const cut = random.chance(0.2) ? bytes.slice(0, random.between(0, bytes.length)) : bytes;
      return { interface: 0, time: BigInt(i) * 1_000_000_000n, bytes: cut, length: bytes.length };
    });
    const file = written(new PcapFormat(link, 0), packets);
    for (const filter of filters) {
      const theirs = readWith(file, 'tcpdump', ['-tt', '-nqr', 'FILE', '--', filter])
        .split('\n')
        .flatMap(line => /^(\d+)\.\d+ /.exec(line)?.[1] ?? []);
      const program = await compileFilter(filter, link);
      const ours = packets.flatMap((packet, i) =>
        runProgram(program, packet.bytes, packet.length) ? [String(i)] : [],
      );
      t.strictSame(ours, theirs, `${kind}: ${filter}: ${theirs.length} of ${packets.length}`);
    }
  }
});

t.test('a filter that does not compile: libpcap’s words', { skip: skipUnless('tcpdump') }, async t => {
  const cases: [string, RegExp][] = [
    ['tcp prt 80', /^filter "tcp prt 80": can't parse filter expression: syntax error/],
    ['host 300.1.2.3', /^filter "host 300\.1\.2\.3": /],
    ['port 99999', /^filter "port 99999": .*port/],
    ['-w /tmp/rs-must-not-exist', /syntax error/],
    ['tcp; id', /^filter "tcp; id": .*syntax error/],
    ['tcp\0', /NUL/],
    ['inbound', /kernel socket/],
    ['ip6 protochain 6', /backwards or out of the program/],
    ['or host 10.0.0.2'.repeat(300), /longer than 4096/],
  ];
  for (const [filter, expected] of cases)
    await t.rejects(
      compileFilter(filter, LINK_ETHERNET),
      { code: 'EFILTER', message: expected },
      filter.slice(0, 40),
    );
  const { existsSync } = await import('node:fs');
  t.notOk(existsSync('/tmp/rs-must-not-exist'));
});

t.test('without tcpdump: what is missing, and what works without it', async t => {
  const path = process.env.PATH;
  process.env.PATH = '/nowhere';
  t.teardown(() => {
    process.env.PATH = path;
  });
  await t.rejects(compileFilter('tcp', LINK_RAW), {
    code: 'EFILTER',
    message: /compiled by tcpdump, which is not installed/,
  });
});

t.test('tcpdump gets nothing of the environment but what it needs', async t => {
  const folder = t.testdir();
  const shown = `${folder}/environment`;
  writeFileSync(`${folder}/tcpdump`, `#!/bin/sh\n/usr/bin/env >${shown}\n`, { mode: 0o755 });
  const { PATH } = process.env;
  Object.assign(process.env, { PATH: folder, RIPSTOP_ETCD_PASSWORD: 'secret' });
  t.teardown(() => {
    process.env.PATH = PATH;
    delete process.env.RIPSTOP_ETCD_PASSWORD;
  });
  await t.rejects(compileFilter('tcp', LINK_RAW), { code: 'EFILTER' }, 'it prints no program');
  const environment = readFileSync(shown, 'utf8');
  t.match(environment, /^LC_ALL=C$/m);
  t.notMatch(environment, /secret/);
});
