import t from 'tap';
import type { Mode } from '../../../encap/encap.ts';
import type { Lab, Node } from '../../../src/lab/topology.ts';
import { until } from '../../../src/lab/until.ts';
import {
  counted,
  DEVICE,
  overlayFor,
  pings,
  podAddress,
  verdicts,
  vtepMac,
} from '../../fixtures/agents/overlay.ts';
import { labFor } from '../../fixtures/lab.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';
import { captureFrames, dissect } from '../../fixtures/traffic/capture-frames.ts';

/* What goes to many: broadcast and multicast, ARP and neighbour discovery. */

const skip = skipUnless('root', 'netns', 'tun', 'ip', 'ping', 'tcpdump', 'tshark');
const TIMES = 3;

/** Destinations that reach everyone; in udp mode there is no Ethernet to broadcast on. */
const groups = (mode: Mode) => [...(mode === 'vxlan' ? ['10.250.0.255'] : []), '239.1.2.3', 'ff05::1:3'];

/** Sends from node 1 to each group, from an address that its lease covers. */
async function call({ nodes: [one] }: Lab, mode: Mode): Promise<void> {
  for (const group of groups(mode)) {
    const source = one!.tunnel[group.includes(':') ? 6 : 4];
    const argv = ['ping', '-n', '-b', '-c', `${TIMES}`, '-i', '0.05', '-W', '0.1', '-t', '4', '-I', source];
    one!.ns.attempt([...argv, group]);
  }
}

function prepare({ nodes: [one] }: Lab, mode: Mode): void {
  if (mode === 'vxlan') one!.ns.ip(`addr add 10.250.0.1/24 broadcast 10.250.0.255 dev ${DEVICE[mode]}`);
  one!.ns.ip(
    `route add 239.1.2.0/24 dev ${DEVICE[mode]}`,
    `route add multicast ff05::1:3/128 dev ${DEVICE[mode]} table local`,
  );
}

for (const mode of ['vxlan', 'udp'] as const) {
  t.test(`${mode}: broadcast and multicast are dropped and counted by default`, { skip }, async t => {
    const lab = labFor(t, { nodes: 3 });
    const planes = await overlayFor(t, lab, { mode });
    prepare(lab, mode);
    const before = counted(planes[0]!, 'multicast');
    const file = await captureFrames(lab.nodes[0]!.ns, 'eth0', { filter: 'udp', direction: 'out' }, () =>
      call(lab, mode),
    );
    const sent = () => counted(planes[0]!, 'multicast') - before >= groups(mode).length * TIMES;
    t.ok(await until('each to be counted', sent), JSON.stringify(verdicts(planes[0]!)));
    t.equal(dissect(file, ['frame.number']).length, 0, 'nothing left the node');
    t.equal(counted(planes[0]!, 'flood'), 0);
  });

  t.test(`${mode}: flood: true copies to every peer, once`, { skip }, async t => {
    const lab = labFor(t, { nodes: 3 });
    const planes = await overlayFor(t, lab, { mode, flood: true });
    prepare(lab, mode);
    const before = counted(planes[0]!, 'flood');
    const filter = groups(mode)
      .map(group => `dst ${group}`)
      .join(' or ');
    const [, two, three] = lab.nodes as [Node, Node, Node];
    let third = '';
    const second = await captureFrames(two.ns, DEVICE[mode], { filter }, async () => {
      third = await captureFrames(three.ns, DEVICE[mode], { filter }, async () => {
        await call(lab, mode);
        const copies = groups(mode).length * TIMES;
        const arrived = () => planes.slice(1).every(plane => counted(plane, 'forward') >= copies);
        await until('the copies to arrive', arrived);
      });
    });
    t.ok(
      counted(planes[0]!, 'flood') - before >= groups(mode).length * TIMES,
      JSON.stringify(verdicts(planes[0]!)),
    );
    for (const [name, file] of [
      ['node 2', second],
      ['node 3', third],
    ] as const) {
      for (const group of groups(mode)) {
        const seen = dissect(file, ['frame.number'], {
          filter: `${group.includes(':') ? 'ipv6' : 'ip'}.dst == ${group}`,
        });
        t.equal(seen.length, TIMES, `${group} at ${name}`);
      }
    }
    t.equal(await pings(lab.nodes[0]!.pods[0]!.ns, podAddress(two, 4)), 3, 'unicast goes on');
  });
}

t.test('ARP and neighbour discovery are answered from the table', { skip }, async t => {
  const lab = labFor(t, { nodes: 3 });
  const planes = await overlayFor(t, lab, { neighbours: false });
  const [one, ...peers] = lab.nodes as [Node, Node, Node];
  for (const peer of peers) {
    for (const family of [4, 6] as const) {
      const from = one.pods[0]!.ns;
      const file = await captureFrames(peer.ns, DEVICE.vxlan, { filter: 'arp or icmp6' }, async () => {
        t.equal(await pings(from, podAddress(peer, family)), 3);
      });
      const asked = dissect(file, ['frame.number'], {
        filter: `eth.dst.ig == 1 and eth.src == ${vtepMac(one)}`,
      });
      t.equal(asked.length, 0, `no question of node 1 reached node ${peer.index} (IPv${family})`);
      const known = one.ns.must(['ip', 'neigh', 'show', peer.tunnel[family], 'dev', DEVICE.vxlan]);
      t.match(known, `lladdr ${vtepMac(peer)}`, `node 1 has the MAC of node ${peer.index} (IPv${family})`);
    }
  }
  t.ok(counted(planes[0]!, 'punt') >= 4, JSON.stringify(verdicts(planes[0]!)));
  // An address that no peer has stays without an answer, as on any link.
  one.ns.ip(`route add 10.244.99.0/24 via 10.244.99.0 dev ${DEVICE.vxlan} onlink`);
  const before = counted(planes[0]!, 'multicast');
  t.not(one.pods[0]!.ns.attempt(['ping', '-n', '-c', '1', '-W', '1', '10.244.99.5']).code, 0);
  t.ok(counted(planes[0]!, 'multicast') > before, 'the question for it is counted as a broadcast');
});
