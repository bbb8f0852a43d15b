import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import t from 'tap';
import { transfer } from '../../../bench/lab/transfer.ts';
import { until } from '../../../bench/lab/until.ts';
import type { Configuration } from '../../fixtures/agents/run-node.ts';
import { watchedNodes } from '../../fixtures/agents/watched-nodes.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';
import { tsharkFields } from '../../unit/capture/fixtures/tshark.ts';

/*
 * What captures show as bytes of the wire, next to what tcpdump sees at the far end of an underlay whose devices neither
 * segment nor merge: there every datagram is whole.
 */

const skip = skipUnless('root', 'netns', 'tun', 'ip', 'ping', 'ethtool', 'tshark', 'tcpdump', 'mergecap');
const CASES: readonly (readonly [name: string, extra: Configuration, remoteChecksum: boolean])[] = [
  ['vxlan', { mode: 'vxlan' }, false],
  ['vxlan with remote checksums', { mode: 'vxlan' }, true],
  [
    'vxlan without offloads',
    { mode: 'vxlan', offloads: { csum: false, udpGso: false, udpGro: false } },
    false,
  ],
  ['udp', { mode: 'udp' }, false],
];

/** The payload of an echo that is sent last. */
const MARK = '5ca1ab1e';
const MARKED = Buffer.from(MARK.repeat(8), 'hex').toString('latin1');
const marks = (file: string) => readFileSync(file).toString('latin1').split(MARKED).length - 1;

for (const [name, extra, remoteChecksum] of CASES)
  t.test(`${name}: each datagram of a capture was on the wire`, { skip }, async t => {
    const nodes = await watchedNodes(t, extra);
    const { lab, one, two, folder, ripstop } = nodes;
    for (const node of lab.nodes) node.ns.must(['ethtool', '-K', 'eth0', 'tx-udp-segmentation', 'off']);
    if (remoteChecksum)
      for (const node of lab.nodes) {
        const peer = lab.nodes.find(other => other !== node)!;
        const peers = [
          {
            ...{ name: `node${peer.index}`, address: peer.underlay[4], remoteChecksum },
            subnets: [peer.subnet[4], peer.subnet[6]],
          },
        ];
        await nodes.reload(node, { peers });
      }
    const captures = [];
    for (const node of lab.nodes) {
      const proc = ripstop(node, 'capture', '--write', `${folder}/n${node.index}.pcapng`, '--segments');
      await proc.saying(/capturing /);
      captures.push(proc);
    }
    const dump = ['tcpdump', '-i', 'eth0', '-U', '-B', '65536', '-w', `${folder}/wire.pcap`, 'udp'];
    const wire = two.ns.launch(dump);
    await wire.saying(/listening on/);
    const pod = two.pods[0]!;
    for (const [from, to] of [
      [one, two],
      [two, one],
    ] as const)
      await transfer({
        from: from.pods[0]!.ns,
        to: to.pods[0]!.ns,
        address: to.pods[0]!.address[4],
        bytes: 400_000,
      });
    one.pods[0]!.ns.attempt(['ping', '-6', '-c', '1', '-W', '10', '-p', MARK, '-s', '64', pod.address[6]]);
    for (const node of lab.nodes)
      await until('the last echo at four points', () => marks(`${folder}/n${node.index}.pcapng.part`) >= 4);
    await until('the last echo and its answer in tcpdump', () => marks(`${folder}/wire.pcap`) >= 2);
    await wire.stop('SIGINT');
    t.match(wire.stderr, /\b0 packets dropped by kernel/, 'tcpdump has all of them');
    for (const proc of captures) {
      t.match(await proc.stop('SIGINT'), { code: 0 });
      t.match(proc.stderr, /\d+ packets captured, 0 lost/);
    }

    const port = extra.mode === 'vxlan' ? '8472' : '8285';
    const fields = ['ip.src', 'udp.srcport', 'udp.payload'];
    // The first occurrence of a field is that of the outer headers.
    const datagrams = (file: string, filter: string) =>
      tsharkFields(readFileSync(file), fields, `${filter} && udp.dstport == ${port}`).map(row =>
        row.map(values => values.split(',')[0]).join(' '),
      );
    const seen = datagrams(`${folder}/wire.pcap`, 'udp');
    for (const node of lab.nodes)
      for (const [point, field] of [
        ['egress-outer', 'src'],
        ['ingress-outer', 'dst'],
      ] as const) {
        const ours = `ip.${field} == ${node.underlay[4]}`;
        const said = datagrams(
          `${folder}/n${node.index}.pcapng`,
          `frame.interface_name == "${point}" && ${ours}`,
        );
        const address = field === 'src' ? node : lab.nodes.find(other => other !== node)!;
        const wired = seen.filter(row => row.startsWith(`${address.underlay[4]} `));
        t.ok(said.length > 100, `${said.length} datagrams`);
        t.ok(said.sort().join('\n') === wired.sort().join('\n'), `node ${node.index}, ${point}: bit for bit`);
      }
    if (remoteChecksum)
      t.ok(
        seen.some(row => row.split(' ')[2]!.startsWith('0820')),
        'remote checksums were on the wire',
      );

    // Cause and effect: what node 1 sent is in front of what node 2 received, in the merged file.
    execFileSync('mergecap', ['-w', `${folder}/both.pcapng`, `${folder}/n1.pcapng`, `${folder}/n2.pcapng`]);
    const points = ['frame.interface_name', 'udp.payload'];
    const way = `ip.src == ${one.underlay[4]} && udp.dstport == ${port}`;
    const sent = new Set<string>();
    const early = tsharkFields(readFileSync(`${folder}/both.pcapng`), points, way).filter(
      ([point, payload]) => {
        if (point === 'egress-outer') sent.add(payload!);
        return point === 'ingress-outer' && !sent.has(payload!);
      },
    );
    t.equal(early.length, 0, 'no datagram arrives before it leaves');
    for (const [index, proc] of captures.entries()) {
      const times = tsharkFields(readFileSync(`${folder}/n${index + 1}.pcapng`), ['frame.time_delta']);
      const back = times.filter(([delta]) => delta!.startsWith('-')).length;
      const late = Number(/(\d+) packets are not in the order/.exec(proc.stderr)?.[1] ?? 0);
      t.ok(back <= late, `node ${index + 1}: the file is in order, or the command says that it is not`);
    }
  });
