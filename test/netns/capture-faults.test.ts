import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import type { Node } from '../../bench/lab/topology.ts';
import { until } from '../../bench/lab/until.ts';
import { labFor } from '../support/lab.ts';
import { need } from '../support/need.ts';
import { layKernelVxlan, vtepMac } from '../support/overlay.ts';
import { type Configuration, configurationOf, MAIN } from '../support/run-node.ts';

/* The faults of docs/debugging.md: each is made, and each is found by one `ripstop capture`. */

t.setTimeout(120_000);

const skip = need('root', 'netns', 'tun', 'vxlan', 'ip', 'ping', 'tcpdump');

/** Two nodes with `ripstop run`; `change` spoils the configuration of one of them, or leaves it to the kernel. */
async function nodesOf(
  owner: Parameters<typeof labFor>[0] & { comment(text: string): void },
  change: (node: Node, good: Configuration) => Configuration | 'kernel',
) {
  const lab = labFor(owner);
  const folder = mkdtempSync(join(tmpdir(), 'rs-fault-'));
  owner.teardown(() => rmSync(folder, { recursive: true }));
  const [one, two] = lab.nodes as [Node, Node];
  for (const node of lab.nodes) {
    const peers = lab.nodes.filter(peer => peer !== node);
    const file = `${folder}/node${node.index}.yaml`;
    const configuration = change(node, configurationOf(node, peers));
    if (configuration === 'kernel') {
      owner.teardown(layKernelVxlan(node, peers));
      continue;
    }
    writeFileSync(file, JSON.stringify(configuration));
    const socket = `${folder}/node${node.index}.sock`;
    await node.ns
      .launch([process.execPath, MAIN, 'run', '-c', file, '--socket', socket])
      .saying(/"ready":true/, 15_000);
  }
  /** The first packet that a capture on `node` shows while `provoke` is repeated. */
  const found = async (node: Node, args: readonly string[], provoke: () => void): Promise<string> => {
    const socket = `${folder}/node${node.index}.sock`;
    const proc = node.ns.launch([process.execPath, MAIN, 'capture', '--socket', socket, '-c', '1', ...args]);
    await proc.saying(/capturing /);
    await until('the packet', () => {
      provoke();
      return proc.result !== undefined;
    });
    const line = await proc.success();
    owner.comment(line.trim());
    return line;
  };
  const ping = (...args: string[]) => one.pods[0]!.ns.attempt(['ping', '-c', '1', '-W', '0.3', ...args]);
  return { one, two, found, ping, pod: one.pods[0]!.address[4], peerPod: two.pods[0]!.address[4], folder };
}

t.test('a peer is missing: its packets arrive and are unknown', { skip }, async t => {
  const { two, found, ping, peerPod, pod, one } = await nodesOf(t, (node, good) =>
    node.index === 2 ? { ...good, peers: [] } : good,
  );
  const line = await found(two, ['--point', 'drop'], () => ping(peerPod));
  t.match(line, `${one.underlay[4]}.`);
  t.match(
    line,
    new RegExp(
      `vni 1 \\| ${pod} > ${peerPod}: ICMP, length 64  \\(drop: unknown-peer, the outer source address is no peer\\)`,
    ),
  );
  const inner = await found(two, ['--point', 'ingress-outer', 'icmp', 'and', 'src', 'host', pod], () =>
    ping(peerPod),
  );
  t.match(inner, /unknown-peer/, 'the filter sees the frame inside');
});

t.test('an address that nobody owns', { skip }, async t => {
  const change = (_node: Node, good: Configuration) => ({
    ...good,
    mode: 'udp',
    networks: ['10.244.0.0/16'],
  });
  const { one, found, ping, pod } = await nodesOf(t, change);
  const line = await found(one, ['--point', 'drop'], () => ping('10.244.77.7'));
  t.match(line, new RegExp(` drop +${pod} > 10\\.244\\.77\\.7: ICMP, length 64 {2}\\(drop: no-peer, `));
});

t.test('the underlay shrank: too big, and for which peer', { skip }, async t => {
  const { one, found, ping, peerPod, pod } = await nodesOf(t, (_node, good) => good);
  t.equal(ping('-M', 'do', '-s', '1400', peerPod).code, 0, 'fits at first');
  one.ns.ip('link set eth0 mtu 1400');
  const line = await found(one, ['--verdict', 'too-big'], () => ping('-M', 'do', '-s', '1400', peerPod));
  t.match(line, new RegExp(`${pod} > ${peerPod}: ICMP, length 1408 {2}\\(drop: too-big, .*; peer node2 \\(`));
});

t.test('another VNI', { skip }, async t => {
  const { two, found, ping, peerPod, folder } = await nodesOf(t, (node, good) =>
    node.index === 2 ? { ...good, vni: 2 } : good,
  );
  const line = await found(two, ['--vni', '1', '--point', 'drop'], () => ping(peerPod));
  t.match(line, /\(drop: wrong-vni, another VXLAN network identifier; peer node1 \(/);

  const follower = two.ns.launch([
    process.execPath,
    MAIN,
    'drops',
    '--follow',
    '--socket',
    `${folder}/node2.sock`,
  ]);
  await follower.saying(/following/);
  ping(peerPod);
  await follower.saying(
    /^[\d:.]{12} wrong-vni +ingress 10\.244\.1\.2 > 10\.244\.2\.2: ICMP, length 64 {2}\(from node1 \(.*\n.*\n {2}what to do: make VNI equal/,
  );
  t.match(await follower.stop('SIGINT'), { code: 0 }, 'drops --follow says the same, and what to do');
});

t.test('a pod sends from an address that its node does not own', { skip }, async t => {
  const { one, two, found, ping, peerPod } = await nodesOf(t, (_node, good) => good);
  one.pods[0]!.ns.ip('addr add 10.99.0.1/32 dev eth0');
  const line = await found(two, ['--point', 'drop', 'src', 'host', '10.99.0.1'], () =>
    ping('-I', '10.99.0.1', peerPod),
  );
  t.match(line, /\(drop: spoofed-source, .*; peer node1 \(/);
});

t.test(
  'checksum offload that nobody finishes: a kernel peer behind a card that is none',
  { skip },
  async t => {
    const { one, two, found, pod } = await nodesOf(t, (node, good) => {
      if (node.index === 2) return 'kernel';
      const [peer] = good.peers as object[];
      return {
        ...good,
        mac: vtepMac({ index: 1 }),
        peers: [{ ...peer, mac: vtepMac({ index: 2 }) }],
        unfinishedChecksums: 'refuse',
      };
    });
    const knock = () =>
      two.pods[0]!.ns.attempt(['timeout', '0.3', 'bash', '-c', `exec 3<>/dev/tcp/${pod}/80`]);
    const line = await found(one, ['--point', 'drop', 'tcp'], knock);
    t.match(line, /Flags \[S\].*\(drop: bad-checksum, the inner TCP or UDP checksum is wrong; peer node2 \(/);
  },
);
