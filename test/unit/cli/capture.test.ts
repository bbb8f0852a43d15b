import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CommanderError } from 'commander';
import t from 'tap';
import { describeError, hasCode } from '../../../src/base/errors.ts';
import { LINK_ETHERNET } from '../../../src/capture/format/packet.ts';
import { PcapFormat } from '../../../src/capture/format/pcap/writer.ts';
import type { ReplayResult } from '../../../src/capture/replay/replay.ts';
import { paced } from '../../../src/cli/commands/packets/replay-run.ts';
import { integerOption, list, size } from '../../../src/cli/options.ts';
import { createProgram } from '../../../src/cli/program.ts';
import { MAIN } from '../../fixtures/agents/run-node.ts';
import { readOutput } from '../../fixtures/json-output.ts';
import { readAll, written } from '../capture/fixtures/files.ts';
import { type Ends, ethernet, ip, joined, tcp, V4, vxlan } from '../capture/fixtures/frames.ts';

/* `ripstop replay` and `ripstop capture` as commands. */

const folder = mkdtempSync(join(tmpdir(), 'rs-cli-'));
t.teardown(() => rmSync(folder, { recursive: true }));

function ripstop(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [MAIN, ...args], {
    encoding: 'utf8',
    cwd: folder,
  });
  return { status, stdout, stderr };
}

/** Runs a command that fails, without a process of its own. @returns its exit code as `main.ts` has it, and its message */
async function refused(...args: string[]): Promise<[status: number, message: string]> {
  const program = createProgram('0');
  for (const command of program.commands) command.configureOutput({ writeErr: () => {} });
  const directory = process.cwd();
  process.chdir(folder);
  try {
    await program.parseAsync(args, { from: 'user' });
    return [0, ''];
  } catch (error) {
    return [hasCode(error, 'ECONFIG') || error instanceof CommanderError ? 2 : 1, describeError(error)];
  } finally {
    process.chdir(directory);
  }
}

const own = [2, 0, 0, 0, 0, 0x0a];
const peer = [2, 0, 0, 0, 0, 2];
const syn = (ends: Ends) =>
  ethernet(
    ip(ends, 6, tcp({ from: 40000, to: 80, sequence: 1, flags: 2 }, new Uint8Array(0), ends)),
  ).subarray(12);
const inward = { source: [192, 0, 2, 2], target: [192, 0, 2, 1] };
const frames = [
  joined(peer, own, syn(V4)),
  vxlan(joined(own, peer, syn({ source: V4.target, target: V4.source })), 1, inward),
  vxlan(joined(own, peer, syn({ source: [10, 9, 9, 9], target: V4.source })), 1, inward),
];
const capture = written(
  new PcapFormat(LINK_ETHERNET, 0),
  frames.map((bytes, i) => ({
    interface: 0,
    time: 1_790_000_000_000_000_000n + BigInt(i) * 40_000_000n,
    bytes,
    length: bytes.length,
  })),
);
const node = {
  underlay: '192.0.2.1',
  subnets: ['10.244.1.0/24'],
  mac: '02:00:00:00:00:0a',
  peers: [{ name: 'node-b', address: '192.0.2.2', mac: '02:00:00:00:00:02', subnets: ['10.244.2.0/24'] }],
};
writeFileSync(join(folder, 'c.pcap'), capture);
writeFileSync(join(folder, 'a.yaml'), JSON.stringify(node));
writeFileSync(join(folder, 'b.yaml'), JSON.stringify({ ...node, sourceCheck: 'off' }));
writeFileSync(join(folder, 'auto.yaml'), JSON.stringify({ ...node, underlay: 'auto' }));

t.test('replay: a table, a summary, JSON, a file', async t => {
  const table = ripstop('replay', 'c.pcap', '-c', 'a.yaml');
  t.equal(table.status, 0);
  const lines = table.stdout.split('\n');
  t.match(lines[1], /^ +1 +0\.000000 {2}egress {3}forward +node-b +1 {2}10\.244\.1\.5\.40000 > /);
  t.match(lines[3], /^ +3 +0\.080000 {2}ingress {2}spoofed-source +node-b +0 {2}10\.9\.9\.9\.40000 > /);
  t.strictSame(lines.slice(4, 7), [
    '3 packets',
    '  2 forward',
    '  1 spoofed-source (the inner source address or MAC does not belong to the peer that sent it)',
  ]);
  t.match(ripstop('replay', 'c.pcap', '-c', 'a.yaml', '--summary').stdout, /^3 packets\n/);
  const json = ripstop(
    'replay',
    'c.pcap',
    '-c',
    'auto.yaml',
    '--address',
    '192.0.2.1',
    '--json',
    '--verdict',
    'drop',
    '-w',
    'out.pcapng',
  );
  const [drop, sums] = json.stdout.trim().split('\n');
  t.strictSame(readOutput('ripstop-replay-summary/1', sums!), {
    format: 'ripstop-replay-summary/1',
    packets: 3,
    merged: 0,
    parts: 0,
    judged: [
      { name: 'forward', count: 2 },
      { name: 'spoofed-source', count: 1 },
    ],
    notJudged: [],
  });
  t.match(readOutput('ripstop-replay/1', drop!), {
    number: 3,
    verdict: 'spoofed-source',
    peer: 'node-b',
    outputs: [],
  });
  const { packets, reader } = await readAll(readFileSync(join(folder, 'out.pcapng')));
  t.equal(packets.length, 1);
  t.equal(reader?.interfaces[packets[0]!.interface]?.name, 'drop');
});

t.test('replay: two configurations', async t => {
  const changes = ripstop('replay', 'c.pcap', '-c', 'a.yaml', '--against', 'b.yaml');
  t.equal(
    changes.stdout,
    '1 packet would now be forward, spoofed-source before (3)\n2 of 3 packets unchanged\n',
  );
  const json = ripstop('replay', 'c.pcap', '-c', 'a.yaml', '--against', 'b.yaml', '--json');
  const [change, sums] = json.stdout.trim().split('\n');
  t.match(readOutput('ripstop-replay-difference/1', change!), {
    number: 3,
    before: { result: { verdict: 'spoofed-source' } },
    after: { result: { verdict: 'forward' } },
  });
  t.match(readOutput('ripstop-replay-comparison/1', sums!), { compared: 3, changed: 1 });
});

t.test('replay: at the pace of the capture, or at full speed', async t => {
  t.equal(ripstop('replay', 'c.pcap', '-c', 'a.yaml', '--speed', 'capture', '--summary').status, 0);
  const at = [0, 40, 40.5, 80];
  async function* outcomes() {
    for (const ms of at) yield { time: BigInt(ms * 1e6) } as ReplayResult;
  }
  /** When each outcome came, by a clock that only sleeping moves. */
  const times = async (speed: 'capture' | 'full') => {
    let now = 1000;
    const sleep = async (ms: number) => {
      now += ms;
    };
    const seen: number[] = [];
    for await (const _ of paced(outcomes(), speed, { now: () => now, sleep })) seen.push(now - 1000);
    return seen;
  };
  t.strictSame(await times('capture'), [0, 40, 40, 80], 'less than a millisecond is not waited for');
  t.strictSame(await times('full'), [0, 0, 0, 0]);
});

t.test('replay: what is wrong is said in one line', async t => {
  for (const [status, message, ...args] of [
    [1, /^ripstop: none\.pcap: no such file; give a pcap or pcapng file/, 'none.pcap', '-c', 'a.yaml'],
    [2, /auto\.yaml: the underlay is "auto"; give this node's .* --address/, 'c.pcap', '-c', 'auto.yaml'],
  ] as const) {
    const result = ripstop('replay', ...args);
    t.equal(result.status, status, args.join(' '));
    t.match(result.stderr, message);
    t.notMatch(result.stderr, /\n {4}at /, 'no stack trace');
  }
  const fails = async (status: number, message: RegExp, ...args: string[]) =>
    t.match(await refused('replay', ...args), [status, message], args.join(' '));
  const magic = /^a\.yaml: at byte 0: magic number 0x7b22756e is neither pcap nor pcapng/;
  await fails(1, magic, 'a.yaml', '-c', 'a.yaml');
  const call = ['c.pcap', '-c', 'a.yaml'];
  await fails(2, /peer "node-b": 192\.0\.2\.2 is not an IPv6 address/, ...call, '--address', '2001:db8::1');
  await fails(
    2,
    /option '--against <file>' cannot be used with option '-w, --write <file>'/,
    ...call,
    ...['--against', 'b.yaml', '-w', 'x'],
  );
  await fails(2, /'--summary' cannot be used with option '-j, --json'/, ...call, '--summary', '--json');
  await fails(1, /unknown verdict "spoofed"/, ...call, '--verdict', 'spoofed');
  writeFileSync(join(folder, 'cut.pcap'), capture.subarray(0, capture.length - 5));
  const cut = ripstop('replay', 'cut.pcap', '-c', 'a.yaml', '-w', 'kept.pcapng');
  t.match(cut.stderr, /^ripstop: cut\.pcap: at byte \d+: the file ends inside a packet/);
  t.match(cut.stdout, /ingress {2}forward/, 'the whole packets before it are shown');
  t.match(cut.stdout, /\n2 packets\n/, 'and summed');
  const compared = ripstop('replay', 'cut.pcap', '-c', 'a.yaml', '--against', 'b.yaml');
  t.equal(compared.stdout, '2 of 2 packets unchanged\n');
  t.match(compared.stderr, /^ripstop: cut\.pcap: at byte \d+/);
  t.ok(readdirSync(folder).includes('kept.pcapng'), 'and written');
});

t.test('capture: calls that cannot be', async t => {
  const fails = async (message: RegExp, ...args: string[]) =>
    t.match(await refused('capture', ...args), [2, message], args.join(' '));
  await fails(/only files can be rotated; give a file with --write/, '-C', '10M');
  await fails(/only files can be rotated/, '-G', '60', '-w', '-');
  await fails(/--keep without rotation/, '-W', '3', '-w', 'x.pcapng');
  await fails(/--format without --write/, '--format', 'pcap');
  await fails(/integer from 0 to 16777215/, '--vni', '99999999');
  await fails(/size of at least 1k/, '-C', 'big');
  const none = ripstop('capture', '--socket', join(folder, 'none.sock'));
  t.equal(none.status, 1);
  t.match(none.stderr, /^ripstop: no agent listens on .*none\.sock; start it with/);
});

t.test('values of options', async t => {
  t.strictSame(list('a, b,,c', ['z']), ['z', 'a', 'b', 'c']);
  t.strictSame(
    [size('2048'), size('500k'), size('100M'), size('1g')],
    [2048, 512_000, 104_857_600, 1_073_741_824],
  );
  t.equal(integerOption(1, 5)('5'), 5);
  for (const bad of ['0', '6', '1.5', '-1', '', 'x']) t.throws(() => integerOption(1, 5)(bad));
  for (const bad of ['1023', '1t', 'k', '']) t.throws(() => size(bad));
});
