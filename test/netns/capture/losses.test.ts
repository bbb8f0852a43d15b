import t from 'tap';
import type { Namespace } from '../../../src/lab/namespace.ts';
import type { Node } from '../../../src/lab/topology.ts';
import type { Configuration } from '../../fixtures/agents/run-node.ts';
import { shownNodes } from '../../fixtures/pages/shown-nodes.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';
import { Transcript } from '../../fixtures/transcript.ts';

/*
 * The losses of docs/guides/debug/losses.md: each is caused outside Ripstop, each is found by the one command that the page
 * shows, and its output is held to the page.
 */

const page = new Transcript('docs/guides/debug/losses.md');
const FAR = '10.244.2.2';
const VXLAN_PORT = 8472;

/** Sends `count` datagrams of `bytes` as fast as the kernel takes them. @param from source address, or any */
function flood(
  ns: Namespace,
  to: string,
  port: number,
  count: number,
  bytes: number,
  from = '0.0.0.0',
): void {
  const program = `
    const socket = require('node:dgram').createSocket('udp4');
    const payload = Buffer.alloc(${bytes});
    let left = ${count};
    const next = () => { if (left-- > 0) socket.send(payload, ${port}, '${to}', next); else socket.close(); };
    socket.bind(0, '${from}', next);`;
  ns.must([process.execPath, '-e', program]);
}

/** The kernel then announces nothing by itself on the overlay device, which would be counted, too. */
function withoutIpv6({ ns, subnet }: Node, { peers, ...good }: Configuration): Configuration {
  ns.must(['sysctl', '-qw', 'net.ipv6.conf.default.disable_ipv6=1']);
  const of4 = (peers as { subnets: string[] }[]).map(peer => ({
    ...peer,
    subnets: peer.subnets.slice(0, 1),
  }));
  return { ...good, subnets: [subnet[4]], peers: of4 };
}

/** True while an audit counts at the underlay of a node. */
const isCounted = ({ ns }: Node) =>
  ns.must(['tc', 'filter', 'show', 'dev', 'eth0', 'ingress']).includes('ripstop');

t.test(
  'a node without processor time, its device queue full: drops names it',
  { skip: skipUnless('root', 'netns', 'tun', 'ip') },
  async t => {
    const { one, pods, paused, says } = await shownNodes(t, page, withoutIpv6);
    paused(one, () => flood(pods[0].ns, FAR, 9, 4000, 18));
    t.match(says('device-queue', one, 'drops'), /device-queue-full +egress +[1-9]/);
  },
);

t.test(
  'a node without processor time, its receive buffer full: the audit names it',
  { skip: skipUnless('root', 'netns', 'tun', 'ip', 'tc') },
  async t => {
    const { two, pods, paused, watches } = await shownNodes(t, page, withoutIpv6);
    const seen = await watches(
      'socket-full',
      two,
      ['drops', '--audit', '--duration', '10'],
      () => isCounted(two),
      () => paused(two, () => flood(pods[0].ns, FAR, 9, 20_000, 1400)),
    );
    t.match(seen, /socket-dropped +-[1-9]\d+ +packets; .*\n +residue +0 +packets/);
    t.match(seen, /UdpRcvbufErrors +[1-9]/);
    t.notMatch(seen, /InCsumErrors/);
  },
);

t.test(
  'outer checksums that the path spoils: the audit tells them from a full buffer',
  { skip: skipUnless('root', 'netns', 'tun', 'ip', 'tc', 'nft', 'ping') },
  async t => {
    const { one, two, pods, watches } = await shownNodes(t, page, withoutIpv6);
    // Without an offload at the sender the receiver verifies the checksum, which the rule overwrites as a faulty card does.
    one.ns.must(['ethtool', '-K', 'eth0', 'tx', 'off']);
    two.ns.must([
      'nft',
      `add table netdev spoil; add chain netdev spoil in { type filter hook ingress device eth0 priority 0; };
       add rule netdev spoil in udp dport ${VXLAN_PORT} @th,48,16 set 0xbad`,
    ]);
    const seen = await watches(
      'wrong-checksum',
      two,
      ['drops', '--audit', '--duration', '10'],
      () => isCounted(two),
      () => void pods[0].ns.attempt(['ping', '-c', '5', '-i', '0.1', '-W', '0.2', FAR]),
    );
    t.match(seen, /socket-dropped +-5\n +residue +0 +datagrams/);
    t.match(seen, /UdpInCsumErrors +5/);
  },
);

t.test(
  'a neighbour that floods the port of the tunnel: drops --follow names its address',
  { skip: skipUnless('root', 'netns', 'tun', 'ip') },
  async t => {
    const { one, two, shows } = await shownNodes(t, page, withoutIpv6);
    one.ns.ip('addr add 172.31.0.66/24 dev eth0');
    const seen = await shows(
      'neighbour',
      two,
      ['drops', '--follow'],
      /unknown-peer/,
      () => flood(one.ns, two.underlay[4], VXLAN_PORT, 5000, 100, '172.31.0.66'),
      3,
    );
    t.match(seen, /unknown-peer +ingress .*172\.31\.0\.66/);
  },
);
