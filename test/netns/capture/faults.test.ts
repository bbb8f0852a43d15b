import t from 'tap';
import type { Node } from '../../../src/lab/topology.ts';
import { until } from '../../../src/lab/until.ts';
import { vtepMac } from '../../fixtures/agents/overlay.ts';
import type { Configuration } from '../../fixtures/agents/run-node.ts';
import { shownNodes } from '../../fixtures/pages/shown-nodes.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';
import { Transcript } from '../../fixtures/transcript.ts';

/*
 * The faults of docs/guides/debug/faults.md: each is made, each is found by the commands that the page shows, and their output is
 * held to what the page shows of it.
 */

const skip = skipUnless('root', 'netns', 'tun', 'vxlan', 'ip', 'ping', 'tcpdump');

const page = new Transcript('docs/guides/debug/faults.md');

const FAR = '10.244.2.2';
const TRACE = ['trace', '--src', '10.244.1.2', '--dst', FAR];
const FOLLOW = ['drops', '--follow'];

t.test('a peer is missing: its packets arrive and are unknown', { skip }, async t => {
  const { one, two, pods, says, asks, shows, ping, peerSocket } = await shownNodes(t, page, (node, good) =>
    node.index === 2 ? { ...good, peers: [] } : good,
  );
  t.match(
    asks('missing-ping', pods[0].ns, 'pod1', ['ping', '-c', '2', '-W', '0.5', '-q', FAR]),
    /100% packet loss/,
  );
  const steps = says('missing-trace', one, ...TRACE, ...peerSocket);
  t.match(
    steps,
    /peer +node2 \(172\.31\.0\.2\)[\s\S]*! decap +unknown-peer: the outer source address belongs to no peer/,
  );
  const lost = await shows('missing-drops', two, FOLLOW, /unknown-peer/, () => ping(FAR), 3);
  t.match(lost, /unknown-peer +ingress 10\.244\.1\.2 > 10\.244\.2\.2: ICMP, .*\(from 172\.31\.0\.1\)/);
});

t.test('an address that no node owns', { skip }, async t => {
  const change = (_node: Node, good: Configuration) => ({
    ...good,
    mode: 'udp',
    networks: ['10.244.0.0/16'],
  });
  const { one, shows, ping } = await shownNodes(t, page, change);
  const line = await shows('nobody-capture', one, ['capture', '-p', 'drop'], /no-peer/, () =>
    ping('10.244.77.7'),
  );
  t.match(line, / drop +10\.244\.1\.2 > 10\.244\.77\.7: ICMP, length 64 {2}\(drop: no-peer, /);
});

t.test('the underlay shrank: too big, and for which peer', { skip }, async t => {
  const { one, pods, says, asks, shows, ping, peerSocket } = await shownNodes(t, page);
  t.equal(ping('-M', 'do', '-s', '1400', FAR).code, 0, 'fits at first');
  // Not the MTU of the interface, which the node follows.
  one.ns.ip('route change 172.31.0.0/24 dev eth0 proto kernel src 172.31.0.1 mtu 1400');
  const line = await shows('mtu-capture', one, ['capture', '--verdict', 'too-big'], / egress-inner /, () =>
    ping('-M', 'do', '-s', '1400', FAR),
  );
  t.match(line, /10\.244\.1\.2 > 10\.244\.2\.2: ICMP, length 1408 {2}\(drop: too-big, .*; peer node2 \(/);
  const small = asks('mtu-small', pods[0].ns, 'pod1', ['ping', '-c', '1', '-s', '1200', FAR]);
  t.match(small, / 0% packet loss/);
  // The first refusal lowers the path MTU, and the next packet is answered.
  await until('the sender to be told', () => {
    const { stdout, stderr } = ping('-M', 'do', '-s', '1400', FAR);
    return /mtu ?= ?1350/.test(stdout + stderr);
  });
  const steps = says('mtu-trace', one, ...TRACE, '--size', '1428', ...peerSocket);
  t.match(steps, /! mtu +1428 bytes, the path to the peer carries 1350 \(path MTU 1400\)/);
});

t.test('another VNI', { skip }, async t => {
  const { one, two, says, shows, ping, peerSocket } = await shownNodes(t, page, (node, good) =>
    node.index === 2 ? { ...good, vni: 2 } : good,
  );
  t.match(
    says('vni-trace', one, ...TRACE, ...peerSocket),
    /! decap +wrong-vni: another VXLAN network identifier/,
  );
  const lost = await shows('vni-drops', two, FOLLOW, /wrong-vni/, () => ping(FAR), 3);
  t.match(
    lost,
    /^[\d:.]{12} wrong-vni +ingress 10\.244\.1\.2 > 10\.244\.2\.2: ICMP, length 64 {2}\(from node1 \(.*\n.*\n {2}what to do: make VNI equal/,
  );
  const line = await shows('vni-capture', two, ['capture', '--vni', '1', '-p', 'drop', 'icmp'], /drop/, () =>
    ping(FAR),
  );
  t.match(line, /vni 1 \| .*\(drop: wrong-vni, another VXLAN network identifier than ours; peer node1 \(/);
});

t.test('a pod sends from an address that its node does not own', { skip }, async t => {
  const { one, two, pods, says, shows, ping } = await shownNodes(t, page);
  pods[0].ns.ip('addr add 10.99.0.1/32 dev eth0');
  const capture = ['capture', '-p', 'drop', 'src', 'host', '10.99.0.1'];
  const line = await shows('spoof-capture', two, capture, /drop/, () => ping('-I', '10.99.0.1', FAR));
  t.match(line, /\(drop: spoofed-source, .*; peer node1 \(/);
  pods[0].ns.launch(['ping', '-q', '-i', '0.1', '-I', '10.99.0.1', FAR]);
  t.match(says('spoof-flows', two, 'flows', 'host', '10.99.0.1'), /< icmp +10\.99\.0\.1 +10\.244\.2\.2 /);
  const steps = says('spoof-trace', one, 'trace', '--src', '10.99.0.1', '--dst', FAR);
  t.match(steps, /! source +there is no route to 10\.99\.0\.1/);
});

t.test(
  'checksum offload that is never completed: a kernel peer behind a virtual device',
  { skip },
  async t => {
    const { one, pods, says, shows } = await shownNodes(t, page, (node, good) => {
      if (node.index === 2) return 'kernel';
      const [peer] = good.peers as object[];
      return {
        ...good,
        mac: vtepMac({ index: 1 }),
        peers: [{ ...peer, mac: vtepMac({ index: 2 }) }],
        partialChecksums: 'refuse',
      };
    });
    const knock = (seconds: string) => [
      'timeout',
      seconds,
      'bash',
      '-c',
      `exec 3<>/dev/tcp/${pods[0].address[4]}/80`,
    ];
    const capture = ['capture', '-p', 'drop', 'tcp'];
    const line = await shows('checksum-capture', one, capture, /drop/, () =>
      pods[1].ns.attempt(knock('0.3')),
    );
    t.match(line, /Flags \[S\].*\(drop: bad-checksum, the inner TCP or UDP checksum is wrong; peer node2 \(/);
    pods[1].ns.launch(knock('10'));
    t.match(says('checksum-flows', one, 'flows', 'tcp', 'and', 'dst', 'port', '80'), /< tcp +10\.244\.2\.2/);
  },
);
