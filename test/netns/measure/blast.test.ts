import { join } from 'node:path';
import t, { type Test } from 'tap';
import * as measure from '../../../encap/wire/measure.ts';
import { hasCode } from '../../../src/base/errors.ts';
import { openCapture } from '../../../src/capture/format/open.ts';
import type { Namespace } from '../../../src/lab/namespace.ts';
import { until } from '../../../src/lab/until.ts';
import { readLines } from '../../fixtures/json-output.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';
import { blast, ripstop, sinkFor } from './measured.ts';
import { pairFor } from './pair.ts';

/* Counts of `ripstop blast` and `ripstop sink`, compared with tcpdump's and the kernel's. */

const skip = skipUnless('root', 'netns', 'ip', 'tcpdump');
const skipDevices = skip || skipUnless('tun');

/** Runs `send` while tcpdump captures. @returns measured packets, without probes, that it saw come in: `expected` at least */
async function captured(
  t: Test,
  place: Namespace,
  expected: number,
  send: () => Promise<unknown>,
): Promise<number> {
  const file = join(t.testdir(), 'seen.pcap');
  const options = [
    '--immediate-mode',
    '-Q',
    'in',
    '-B',
    '16384',
    '-s',
    '128',
    '-U',
    '-i',
    'eth0',
    '-w',
    file,
  ];
  const dump = place.launch(['tcpdump', ...options, 'udp']);
  await dump.saying(/listening on/);
  await send();
  await until(`tcpdump to write ${expected} packets`, async () => (await countIn(file)) >= expected);
  dump.kill('SIGINT');
  await dump.ended;
  return countIn(file);
}

/** Measured packets in a capture file, which may be cut. */
async function countIn(file: string): Promise<number> {
  let count = 0;
  try {
    const reader = await openCapture(file);
    for await (const { bytes } of reader.packets()) {
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      const payload = view.getUint8(14) >> 4 === 4 ? 14 + 28 : 14 + 48;
      if (measure.check(view, payload, bytes.length - payload) === 0) continue;
      if ((measure.flags(view, payload) & measure.FLAG_PROBE) === 0) count++;
    }
  } catch (error) {
    if (!hasCode(error, 'ECAPTURE')) throw error;
  }
  return count;
}

/** Datagrams that the kernel has handed to sockets. */
function datagrams(place: Namespace, family: 4 | 6): number {
  if (family === 6)
    return Number(/^Udp6InDatagrams\s+(\d+)/m.exec(place.must(['cat', '/proc/net/snmp6']))?.[1]);
  // A line of names, InDatagrams the first, and one of values.
  return Number(/^Udp: (\d+)/m.exec(place.must(['cat', '/proc/net/snmp']))?.[1]);
}

const ADDRESSES = { 4: '10.9.0.2', 6: 'fd09::2' } as const;

for (const family of [4, 6] as const)
  t.test(`IPv${family}: sizes of the Internet mix over four flows`, { skip }, async t => {
    const [one, two] = pairFor(t);
    await sinkFor(t, two);
    const before = datagrams(two, family);
    const args = ['--rate', '3000pps', '--packets', '6000', '--for', '5m', '--size', 'imix', '--flows', '4'];
    let report: Awaited<ReturnType<typeof blast>> | undefined;
    const seen = await captured(t, two, 6000, async () => {
      report = await blast(one, ADDRESSES[family], ...args);
    });
    const { sent, received } = report!;
    t.equal(sent.packets, 6000);
    t.equal(sent.bytes, (6000 / 12) * (7 * (family === 4 ? 46 : 66) + 4 * 576 + 1500));
    t.equal(seen, 6000, 'tcpdump saw them');
    t.equal(received?.packets, seen);
    t.equal(received?.bytes, sent.bytes);
    t.same([received?.lost, received?.duplicates, received?.reordered], [0, 0, 0]);
    const probes = datagrams(two, family) - before - 6000;
    t.ok(probes > 0 && probes <= 100, `the kernel handed over as many, and ${probes} probes`);
    t.ok(report!.roundTrip!.packets > 100, 'round trips were taken');
    t.equal(report!.roundTrip!.packets, report!.roundTripAsked, 'of all packets that asked');
  });

t.test('the packets of GSO are as many for the kernel that receives them', { skip }, async t => {
  const [one, two] = pairFor(t);
  const { sink } = await sinkFor(t, two, '--json');
  const before = datagrams(two, 4);
  const args = ['--gso', '--rate', 'max', '--packets', '30k', '--for', '5m', '--size', '46', '--flows', '3'];
  const { sent, received, gso } = await blast(one, '10.9.0.2', ...args);
  t.ok(gso && sent.systemCalls < 15_000, `${sent.systemCalls} system calls`);
  t.equal(sent.packets, 30_000);
  t.equal(received?.packets, 30_000 - (received?.lost ?? 0));
  // UDP_GRO hands over several datagrams as one.
  t.ok(datagrams(two, 4) - before < 30_000);
  await until('the sink has printed', () => sink.stdout.includes('\n'));
  const [counted] = readLines('ripstop-sink/1', sink.stdout);
  t.same([counted?.from, counted?.packets], ['10.9.0.1', received?.packets]);
});

for (const [name, sendArgs, sinkArgs] of [
  ['frames by an interface, to a UDP socket', ['--interface', 'eth0'], []],
  ['frames by an interface, to an interface', ['--interface', 'eth0'], ['--interface', 'eth0']],
  [
    'frames of GSO by an interface, to an interface',
    ['--interface', 'eth0', '--gso'],
    ['--interface', 'eth0'],
  ],
] as const)
  t.test(`${name}, of both families`, { skip }, async t => {
    const [one, two] = pairFor(t);
    await sinkFor(t, two, ...sinkArgs);
    for (const address of Object.values(ADDRESSES)) {
      // So that the next hop's MAC is known: the control connection resolves it.
      const args = [
        '--rate',
        '5000pps',
        '--packets',
        '5000',
        '--for',
        '5m',
        '--size',
        '300',
        '--flows',
        '5',
        ...sendArgs,
      ];
      const { sent, received, roundTrip, medium } = await blast(one, address, ...args);
      t.equal(medium, 'interface');
      t.equal(sent.packets, 5000);
      t.equal(received?.packets, 5000, address);
      t.same([received?.lost, received?.duplicates, received?.reordered], [0, 0, 0]);
      t.ok(roundTrip!.packets > 50);
    }
  });

/** Two namespaces that route to each other's device `name`: 10.7.0.0/24 is behind that of the first, 10.8.0.0/24 of the second. */
function devicesFor(t: Test, mode: 'tun' | 'tap'): [Namespace, Namespace] {
  const [one, two] = pairFor(t);
  for (const [ns, subnet, other, gateway] of [
    [one, '10.7.0', '10.8.0', '10.9.0.2'],
    [two, '10.8.0', '10.7.0', '10.9.0.1'],
  ] as const) {
    ns.sysctl('net.ipv4.ip_forward=1', 'net.ipv4.conf.all.rp_filter=0', 'net.ipv4.conf.default.rp_filter=0');
    ns.must(['ip', 'tuntap', 'add', 'mode', mode, 'name', 'dev0']);
    ns.ip(
      `address add ${subnet}.1/24 dev dev0`,
      'link set dev0 up',
      `route add ${other}.0/24 via ${gateway}`,
    );
    // What is behind a TAP answers no ARP.
    if (mode === 'tap') ns.ip(`neighbour add ${subnet}.2 lladdr 02:00:00:00:00:99 dev dev0`);
  }
  return [one, two];
}

for (const mode of ['tun', 'tap'] as const) {
  t.test(
    `from a ${mode.toUpperCase()} device, through the kernel, to a socket`,
    { skip: skipDevices },
    async t => {
      const [one, two] = devicesFor(t, mode);
      await sinkFor(t, two);
      for (const gso of [[], ['--gso']]) {
        const args = [
          `--${mode}`,
          'dev0',
          '--source',
          '10.7.0.2',
          '--rate',
          '5kpps',
          '--packets',
          '5k',
          '--for',
          '5m',
        ];
        const { sent, received, roundTrip, device } = await blast(one, '10.9.0.2', ...args, ...gso);
        t.equal(device, 'dev0');
        t.equal(sent.packets, 5000);
        t.equal(received?.packets, 5000);
        t.equal(received?.oneWay?.clock, 'same');
        t.equal(roundTrip, null, 'an answer to an address behind the device would not come back');
      }
    },
  );

  t.test(
    `from a socket, through the kernel, to a ${mode.toUpperCase()} device`,
    { skip: skipDevices },
    async t => {
      const [one, two] = devicesFor(t, mode);
      await sinkFor(t, two, `--${mode}`, 'dev0', '--behind', '10.8.0.2');
      const args = [
        '--rate',
        '5kpps',
        '--packets',
        '5k',
        '--for',
        '5m',
        '--size',
        '100',
        '--control',
        '10.9.0.2',
      ];
      const { sent, received, roundTrip } = await blast(one, '10.8.0.2', ...args);
      t.equal(sent.packets, 5000);
      t.equal(received?.packets, 5000);
      t.ok(roundTrip!.packets > 10, 'the sink answers by its socket');
      const other = ripstop(one, 'blast', '10.8.0.3', '--control', '10.9.0.2');
      t.equal((await other.ended).code, 1);
      t.match(other.stderr, /this sink does not receive for 10\.8\.0\.3/);
    },
  );
}

t.test('Ctrl-C ends a stream with its figures so far', { skip }, async t => {
  const [one, two] = pairFor(t);
  await sinkFor(t, two);
  const run = ripstop(one, 'blast', '10.9.0.2', '--for', '1h', '--rate', '2000pps');
  const { sink } = await sinkFor(t, one, '--json');
  const inner = ripstop(two, 'blast', '10.9.0.1', '--for', '1h', '--rate', '2000pps', '--json');
  await until('both streams run', () => {
    const rows = one.must([
      'cat',
      '/sys/class/net/eth0/statistics/rx_packets',
      '/sys/class/net/eth0/statistics/tx_packets',
    ]);
    return rows
      .trim()
      .split('\n')
      .every(count => Number(count) > 3000);
  });
  run.kill('SIGINT');
  const text = await run.success();
  t.match(text, /stopped/);
  t.match(text, /^received +[1-9]/m);
  // A sink that goes away ends the stream: nothing is sent that is not asked for.
  sink.kill('SIGINT');
  t.equal((await inner.ended).code, 1);
  t.match(inner.stdout, /"ended": "sink gone"/);
  await sink.ended;
  const [counted] = readLines('ripstop-sink/1', sink.stdout);
  t.ok(counted!.packets > 100, 'and the sink says what it counted');
});

t.test('nothing is sent without an invitation, except by force', { skip }, async t => {
  const [one, two] = pairFor(t);
  const refused = ripstop(one, 'blast', '10.9.0.2', '--for', '1s');
  t.equal((await refused.ended).code, 1);
  t.match(refused.stderr, /no sink answers at 10\.9\.0\.2:5299/);
  for (const [to, why] of [
    ['10.9.0.255', /a broadcast address/],
    ['224.0.0.5', /multicast/],
    ['ff02::1', /multicast/],
  ] as const) {
    const group = ripstop(one, 'blast', to, '--force', '--for', '1s');
    t.equal((await group.ended).code, 2, to);
    t.match(group.stderr, why);
  }
  // The kernel keeps few packets while it asks for the MAC.
  one.must(['ping', '-c', '1', '10.9.0.2']);
  const seen = await captured(t, two, 500, async () => {
    const { sent, received } = await blast(
      one,
      '10.9.0.2',
      '--force',
      '--packets',
      '500',
      '--rate',
      '5000pps',
    );
    t.equal(sent.packets, 500);
    t.equal(received, null);
  });
  t.equal(seen, 500);
});

t.test(
  'a path with a smaller MTU: the default fits, a mix is cut, a larger size is refused',
  { skip },
  async t => {
    const [one, two] = pairFor(t);
    await sinkFor(t, two);
    for (const [family, address] of [
      [4, '10.9.0.2'],
      [6, 'fd09::2'],
    ] as const) {
      one.ip(`route replace ${address} dev eth0 mtu 1450`);
      const stream = ['--packets', '60', '--rate', '600pps', '--for', '5m'];
      const usual = await blast(one, address, ...stream);
      t.same([usual.sizes, usual.received?.packets], [[1450, 1450], 60]);
      const mixed = await blast(one, address, ...stream, '--size', 'imix');
      t.same([mixed.sizes, mixed.received?.packets], [[family === 4 ? 46 : 66, 1450], 60]);
      for (const command of ['blast', 'bench']) {
        const refused = ripstop(one, command, address, '--size', '1451');
        t.equal((await refused.ended).code, 2);
        t.match(
          refused.stderr,
          /1451 bytes; the path to .* takes at most 1450.*give --size 1450 or less/,
          command,
        );
      }
    }
  },
);
