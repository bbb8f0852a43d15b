import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import t from 'tap';
import { transfer } from '../../../bench/lab/transfer.ts';
import type { Node } from '../../../src/lab/topology.ts';
import { until } from '../../../src/lab/until.ts';
import { allAtOnce } from '../../fixtures/agents/overlay.ts';
import { type Configuration, MAIN } from '../../fixtures/agents/run-node.ts';
import { watchedNodes } from '../../fixtures/agents/watched-nodes.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';
import { readAll } from '../../unit/capture/fixtures/files.ts';
import { tsharkFields } from '../../unit/capture/fixtures/tshark.ts';

/* `ripstop capture` on a running node, read with tshark. */

const skip = skipUnless('root', 'netns', 'tun', 'ip', 'ping', 'tshark', 'tcpdump');

async function overlay(owner: Parameters<typeof watchedNodes>[0], extra: Configuration) {
  const { one, two, folder, socketOf, ripstop } = await watchedNodes(owner, extra);
  /** `ripstop capture` of node 1; ready when it says so. */
  const capture = async (...args: string[]) => {
    const proc = ripstop(one, 'capture', ...args);
    await proc.saying(/capturing |ripstop: /);
    return proc;
  };
  return { one, two, folder, socketOf, capture };
}

const ping = (from: Node, address: string, count = 3) =>
  from.pods[0]!.ns.attempt(['ping', ...allAtOnce(count), '-W', '1', address]);

/** The payload of an echo that is sent last. */
const MARK = '5ca1ab1e';
/** Packets of a capture that carry it, each of them a few times over. */
const marks = (capture: Buffer) => capture.toString('latin1').split(latin1(MARK.repeat(8))).length - 1;
const latin1 = (hex: string) => Buffer.from(hex, 'hex').toString('latin1');

const CHECKS = ['ip.checksum.status', 'tcp.checksum.status', 'udp.checksum.status', '_ws.malformed'];
const isSound = (row: readonly string[]) =>
  row.slice(-4, -1).every(states => /^([13](,[13])*)?$/.test(states)) && !row.at(-1);

for (const mode of ['vxlan', 'udp'] as const) {
  t.test(`${mode}: the five points while traffic flows`, { skip }, async t => {
    const { one, two, folder, capture } = await overlay(t, { mode, mac: undefined });
    const file = `${folder}/all.pcapng`;
    const proc = await capture('--write', file, '--segments');
    const wire = two.ns.launch([
      'tcpdump',
      '-i',
      'eth0',
      '-U',
      '-B',
      '65536',
      '-w',
      `${folder}/wire.pcap`,
      'udp',
    ]);
    await wire.saying(/listening on/);
    const pod = two.pods[0]!.address;
    t.equal(ping(one, pod[4]).code, 0);
    t.equal(ping(one, pod[6]).code, 0);
    ping(one, '10.244.200.9', 1);
    const { intact } = await transfer({
      from: one.pods[0]!.ns,
      to: two.pods[0]!.ns,
      address: pod[4],
      bytes: 2_000_000,
    });
    t.ok(intact);
    // The capture fetches its packets when others leave the cores idle: it has all when it has one that came last.
    one.pods[0]!.ns.attempt(['ping', '-6', '-c', '1', '-W', '10', '-p', MARK, '-s', '64', pod[6]]);
    await until('the last echo at four points', () => marks(readFileSync(`${file}.part`)) >= 4);
    // The kernel holds packets back from tcpdump until a block is full or a timer ends. (Its immediate mode would cut
    // GSO packets.)
    await until(
      'the last echo and its answer in tcpdump',
      () => marks(readFileSync(`${folder}/wire.pcap`)) >= 2,
    );
    await wire.stop('SIGINT');
    t.match(wire.stderr, /\b0 packets dropped by kernel/, 'tcpdump has all of them');
    t.match(await proc.stop('SIGINT'), { code: 0 });
    t.match(proc.stderr, /\d+ packets captured, 0 lost/);

    const bytes = readFileSync(file);
    const udpPort = mode === 'vxlan' ? '8472' : '8285';
    const fields = [
      'frame.interface_name',
      'frame.comment',
      'frame.protocols',
      'udp.dstport',
      'icmp.type',
      ...CHECKS,
    ];
    const rows = tsharkFields(bytes, fields);
    t.same(
      rows.filter(row => !isSound(row)),
      [],
      'every checksum right, nothing malformed',
    );
    const at = (point: string, ...words: string[]) =>
      rows.filter(row => row[0] === point && words.every(word => row.slice(1, 5).join('|').includes(word)));
    for (const point of ['egress-inner', 'egress-outer', 'ingress-outer', 'ingress-inner'])
      t.ok(at(point, 'forward; peer node2 ').length > 6, `${point}: the echoes and the transfer`);
    t.ok(at('egress-outer').every(row => row[3]!.startsWith(udpPort)));
    if (mode === 'vxlan') {
      t.equal(at('egress-inner', 'icmp', '|8').length, 3, 'three echo requests went in');
      t.ok(at('egress-outer').every(row => row[2]!.startsWith('eth:ethertype:ip:udp:vxlan:eth')));
      t.equal(at('ingress-outer', 'vxlan', 'icmp', '|0').length, 3, 'three replies came back');
    }
    const info = execFileSync('capinfos', [file], { encoding: 'utf8' });
    t.match(info, /Number of interfaces in file:\s+5/);

    // What tcpdump saw on the peer's card, next to what the capture says that it sent there. Between two veths the
    // datagrams of one message cross as one, so the bytes of each flow are compared, not their borders.
    const flows = (capture: Uint8Array, filter: string) => {
      const bytesOf: Record<string, string> = {};
      for (const [port, payload] of tsharkFields(capture, ['udp.srcport', 'udp.payload'], filter))
        bytesOf[port!] = (bytesOf[port!] ?? '') + payload;
      return bytesOf;
    };
    const sent = `ip.src == ${one.underlay[4]} && udp.dstport == ${udpPort}`;
    const seen = flows(readFileSync(`${folder}/wire.pcap`), sent);
    const said = flows(bytes, `frame.interface_name == "egress-outer" && ${sent}`);
    t.ok(Object.values(said).join('').length > 800_000, `${Object.keys(said).length} flows`);
    t.ok(JSON.stringify(said) === JSON.stringify(seen), 'byte for byte what is on the wire');
  });
}

t.test('filters, limits and text', { skip }, async t => {
  const { one, two, folder, capture } = await overlay(t, {});
  const pod = two.pods[0]!.address;
  const echoes = await capture(
    '--point',
    'egress-inner',
    '--count',
    '2',
    'icmp6',
    'and',
    'dst',
    'host',
    pod[6],
  );
  ping(one, pod[4], 2);
  ping(one, pod[6], 4);
  t.match(
    await echoes.success(),
    new RegExp(
      `^(\\S+ egress-inner +${one.pods[0]!.address[6]} > ${pod[6]}: ICMPv6, .*\\(forward; peer node2 .*\\)\\n){2}$`,
    ),
  );
  t.match(echoes.stderr, /2 packets captured/);

  const drops = await capture('--verdict', 'drop', '-s', '96', '-w', `${folder}/drops.pcap`);
  ping(one, '10.244.2.99', 1);
  one.pods[0]!.ns.attempt(['ping', '-c', '1', '-W', '1', '-M', 'do', '-s', '1450', pod[4]]);
  await drops.stop('SIGINT');
  t.equal(
    execFileSync('capinfos', ['-T', '-r', '-m', '-E', `${folder}/drops.pcap`], { encoding: 'utf8' })
      .trim()
      .split(',')[1],
    'ether',
  );

  const rotated = await capture('-w', `${folder}/ring.pcapng`, '-C', '20k', '-W', '2', '--segments');
  await transfer({ from: one.pods[0]!.ns, to: two.pods[0]!.ns, address: pod[4], bytes: 300_000 });
  const ring = () => readdirSync(folder).filter(name => name.startsWith('ring_'));
  await until('another file', () => ring().length > 1 || ring().some(name => !name.includes('_00001_')));
  await rotated.stop('SIGINT');
  const files = ring();
  t.equal(files.length, 2, files.join(' '));
  for (const name of files)
    t.ok(tsharkFields(readFileSync(`${folder}/${name}`), ['frame.len']).length >= 1, name);
});

t.test('what is wrong is said, and captures run side by side', { skip }, async t => {
  const { one, two, folder, capture } = await overlay(t, {});
  const fails = async (expected: RegExp, ...args: string[]) => {
    const proc = await capture(...args);
    t.not((await proc.ended).code, 0, args.join(' '));
    t.match(proc.stderr, expected);
  };
  await fails(/unknown capture point "egres-inner"; did you mean "egress-inner"\?/, '-p', 'egres-inner');
  await fails(/unknown peer "node3"; did you mean "node2"\?/, '--peer', 'node3');
  await fails(/unknown verdict "no-pear"; did you mean "no-peer"\?/, '--verdict', 'no-pear');
  await fails(/filter "tcp prt 80": can't parse filter expression: syntax error/, 'tcp', 'prt', '80');
  await fails(/no[tn].*directory|the directory does not exist/, '-w', `${folder}/no/where.pcapng`);
  const files = ['a', 'b', 'c', 'd', 'e'].map(name => `${folder}/${name}.pcapng`);
  const running = [];
  for (const file of files) running.push(await capture('-p', 'egress-inner', '-c', '2', '-w', file, 'icmp'));
  await fails(/5 captures are running; stop one of them first/);
  ping(one, two.pods[0]!.address[4], 2);
  for (const proc of running) await proc.success();
  for (const file of files) t.equal((await readAll(readFileSync(file))).packets.length, 2, file);
});

t.test('a reader that stalls or leaves: traffic goes on', { skip }, async t => {
  const { one, two, folder, socketOf } = await overlay(t, {});
  const address = two.pods[0]!.address[4];
  const between = { from: one.pods[0]!.ns, to: two.pods[0]!.ns, address };
  const shell = (rest: string) =>
    one.ns.launch([
      'sh',
      '-c',
      `sh -c 'echo $$ > ${folder}/pid; exec "$@"' sh "$1" "$2" capture --socket "$3" -w - ${rest}`,
      'sh',
      process.execPath,
      MAIN,
      socketOf(one),
    ]);
  const late = `${folder}/late.pcapng`;
  const stalled = shell(`| (until [ -e ${folder}/read ]; do sleep 0.1; done; cat > ${late})`);
  await stalled.saying(/capturing /);
  t.ok((await transfer({ ...between, bytes: 30_000_000 })).intact, 'under a reader that does not read');
  writeFileSync(`${folder}/read`, '');
  await until('what is read to tell of the loss', async () => {
    ping(one, address, 1);
    return existsSync(late) && (await readAll(readFileSync(late))).packets.some(packet => packet.dropped);
  });
  process.kill(Number(readFileSync(`${folder}/pid`, 'utf8')), 'SIGINT');
  await stalled.success();
  t.match(stalled.stderr, /, [1-9]\d* lost because the reader was too slow/);
  const { error, packets } = await readAll(readFileSync(late));
  t.equal(error, undefined, 'what was read is whole');
  t.ok(
    packets.some(packet => packet.dropped),
    'and says where something is missing',
  );

  const left = shell('| head -c 200 | wc -c');
  await left.saying(/capturing /);
  // The capture learns that its reader has left when it next writes.
  await until('the end of the capture', () => {
    ping(one, address, 1);
    return left.result;
  });
  t.match(await left.success(), /200/);
  t.notMatch(left.stderr, /EPIPE|Error/);
  t.equal(ping(one, address).code, 0);
});
