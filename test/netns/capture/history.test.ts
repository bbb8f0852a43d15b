import { readFileSync } from 'node:fs';
import t from 'tap';
import { until } from '../../../src/lab/until.ts';
import { watchedNodes } from '../../fixtures/agents/watched-nodes.ts';
import { readOutput } from '../../fixtures/json-output.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';
import { PacketSource } from '../../fixtures/traffic/packet-source.ts';
import { readAll, statisticsOf } from '../../unit/capture/fixtures/files.ts';
import { tsharkFields } from '../../unit/capture/fixtures/tshark.ts';

/* What captures of a running node say of losses, and of peers that change meanwhile. */

const skip = skipUnless('root', 'netns', 'tun', 'ip', 'ping', 'tcpdump', 'tshark');
/** More than the ring of a capture and the buffers behind it hold. */
const FLOOD = 15_000;
/** A VXLAN datagram with another VNI. */
const FOREIGN = new Uint8Array(1000);
FOREIGN.set([8, 0, 0, 0, 0, 0, 9, 0]);

/** Each value once, in the order of the first ones. */
const unique = <T>(values: readonly T[]): T[] => [
  ...new Map(values.map(value => [JSON.stringify(value), value])).values(),
];

t.test(
  'a capture whose reader stalls, at the end of a flood: captured and lost are what passed',
  { skip },
  async t => {
    const { one, two, folder, ripstop } = await watchedNodes(t, index => ({
      mode: 'vxlan',
      subnets: [`10.244.${index}.0/24`],
      peers: [{ name: 'other', address: `172.31.0.${3 - index}`, subnets: [`10.244.${3 - index}.0/24`] }],
    }));
    // Otherwise the kernel sends multicast on the device, which is dropped and passes the point `drop` as well.
    one.ns.sysctl('net/ipv6/conf/flannel.1/disable_ipv6=1');
    const foreign = async (): Promise<number> => {
      const text = await ripstop(one, 'drops', '--json').success();
      return (
        readOutput('ripstop-drops/1', text).drops.find(({ reason }) => reason === 'wrong-vni')?.frames ?? 0
      );
    };
    const file = `${folder}/flood.pcapng`;
    const capture = ripstop(one, 'capture', '-p', 'drop', '-p', 'ingress-outer', '--write', file);
    await capture.saying(/capturing /);
    const source = new PacketSource(t, two.ns, two.underlay[4], one.underlay[4], 8472);
    capture.kill('SIGSTOP');
    for (let sent = 0; sent < FLOOD; sent += 1000) await source.fire(Array(1000).fill(FOREIGN));
    // The workers have taken all that the socket has let through when the count stands still.
    let passed = -1;
    await until('the end of the flood', async () => {
      const before = passed;
      passed = await foreign();
      return passed === before;
    });
    capture.kill('SIGCONT');
    t.match(await capture.stop('SIGINT'), { code: 0 });
    const [, captured, lost] = /(\d+) packets captured, (\d+) lost/.exec(capture.stderr)!.map(Number);
    t.ok(lost! > 1000, `${lost} of ${2 * passed} were lost`);
    t.equal(captured! + lost!, 2 * passed, 'each frame passed both points');
    const bytes = readFileSync(file);
    const { packets, reader } = await readAll(bytes);
    const statistics = statisticsOf(bytes);
    t.equal(statistics.length, 2);
    for (const [index, { received, dropped, delivered }] of statistics.entries()) {
      const there = packets.filter(packet => packet.interface === index).length;
      const { name } = reader!.interfaces[index]!;
      t.equal(Number(received), passed, `${name}: all that passed`);
      t.equal(Number(delivered), there, `${name}: what the file has`);
      t.equal(Number(received - dropped), there, `${name}: the rest is lost`);
    }
  },
);

t.test(
  'peers that come, go and take a used slot while a capture runs: each packet names its own',
  { skip },
  async t => {
    // The table of flows stays on, however long the steps of this test take.
    const extra = { mode: 'vxlan', flowTable: true };
    const { one, two, folder, ripstop, reload } = await watchedNodes(t, extra);
    const moved = '172.31.0.9';
    two.ns.ip(`addr add ${moved}/24 dev eth0`);
    const file = `${folder}/peers.pcapng`;
    const capture = ripstop(one, 'capture', '-p', 'egress-outer', '-p', 'egress-inner', '--write', file);
    await capture.saying(/capturing /);
    const live = ripstop(one, 'trace', '--live', '--src', one.pods[0]!.address[4], '--dst', '10.244.9.9');
    await live.saying(/following/);
    const wire = two.ns.launch([
      'tcpdump',
      '-i',
      'eth0',
      '-Q',
      'in',
      '-U',
      '-w',
      `${folder}/wire.pcap`,
      'udp port 8472',
    ]);
    await wire.saying(/listening on/);
    const ping = (address: string) => one.pods[0]!.ns.attempt(['ping', '-c', '1', '-W', '0.5', address]);

    t.equal(ping(two.pods[0]!.address[4]).code, 0);
    await reload(one, { peers: [] });
    await reload(one, { peers: [{ name: 'node9', address: moved, subnets: ['10.244.9.0/24'] }] });
    // No pod answers there; the test is about where it went.
    await until('its trace', () => {
      ping('10.244.9.9');
      return live.stdout.includes('node9');
    });
    for (const proc of [wire, live]) await proc.stop('SIGINT');
    t.match(await capture.stop('SIGINT'), { code: 0 });

    const fields = ['frame.interface_name', 'frame.comment', 'ip.dst', 'icmp.type'];
    const outer = tsharkFields(readFileSync(file), fields, 'icmp.type == 8').map(
      ([point, comment, target]) => [
        point,
        comment!.replace(/^.*peer (\S+) .*$/, '$1'),
        target!.split(',')[0],
      ],
    );
    t.strictSame(unique(outer), [
      ['egress-inner', 'node2', two.pods[0]!.address[4]],
      ['egress-outer', 'node2', two.underlay[4]],
      ['egress-inner', 'node9', '10.244.9.9'],
      ['egress-outer', 'node9', moved],
    ]);
    const wired = tsharkFields(
      readFileSync(`${folder}/wire.pcap`),
      ['ip.dst', 'icmp.type'],
      'icmp.type == 8',
    );
    t.strictSame(
      unique(wired.map(([target]) => target!.split(',')[0])),
      [two.underlay[4], moved],
      'on the wire as in the capture',
    );
    const text = await ripstop(one, 'flows', '--json').success();
    const { flows } = readOutput('ripstop-flows/1', text);
    const peerOf = (address: string) => flows.find(({ destination }) => destination === address)?.peer;
    t.equal(peerOf(two.pods[0]!.address[4]), 'node2', 'the old flow keeps its peer');
    t.equal(peerOf('10.244.9.9'), 'node9');
  },
);
