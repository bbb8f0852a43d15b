import { readFileSync } from 'node:fs';
import t from 'tap';
import { agentsFor, fileStoreFor } from '../../fixtures/agents/agents.ts';
import { labFor } from '../../fixtures/lab.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

const SKIP = { skip: skipUnless('root', 'netns', 'tun', 'nft', 'iptables') };
const DUAL = { EnableIPv6: true, IPv6Network: 'fd00:10:244::/48' };

for (const backend of ['vxlan', 'udp', 'host-gw'] as const)
  t.test(`three nodes on the file store: ${backend}`, SKIP, async t => {
    const lab = labFor(t, { nodes: 3 });
    const store = fileStoreFor(t, { ...DUAL, Backend: { Type: backend } });
    const { agents } = agentsFor(t, lab, [...store.flags, '--ip-masq']);
    for (const agent of agents) {
      agent.rememberSubnet();
      agent.start();
    }
    const statuses = await Promise.all(agents.map(agent => agent.ready(2)));
    const mtu = Math.min(...statuses[0]!.overlays.map(overlay => overlay.mtu));
    t.equal(mtu, { vxlan: 1430, udp: 1472, 'host-gw': 1500 }[backend]);
    t.match(readFileSync(agents[0]!.subnetFile, 'utf8'), `FLANNEL_MTU=${mtu}\nFLANNEL_IPMASQ=true`);
    lab.podMtu(mtu);
    for (const from of lab.nodes)
      for (const to of lab.nodes)
        if (from !== to)
          for (const family of [4, 6] as const) {
            const size = String(mtu - (family === 4 ? 28 : 48));
            const result = from.pods[0]!.ns.attempt([
              'ping',
              '-c2',
              '-i0.05',
              '-W10',
              '-Mdo',
              '-s',
              size,
              to.pods[0]!.address[family],
            ]);
            t.equal(
              result.code,
              0,
              `${from.index} to ${to.index}, IPv${family}, a full packet: ${result.stdout.split('\n').at(-3)}`,
            );
          }
    const ttl = lab.nodes[0]!.pods[0]!.ns.attempt([
      'ping',
      '-c1',
      '-W10',
      lab.nodes[1]!.pods[0]!.address[4],
    ]).stdout;
    t.match(ttl, /ttl=62/, 'two hops from pod to pod');
    const peers = await agents[0]!.ask('/peers');
    t.ok(peers.every(peer => peer.node !== null));
    if (backend !== 'host-gw')
      t.ok(peers.every(peer => peer.traffic!.egress.frames > 0 && peer.traffic!.ingress.frames > 0));
    const leases = await agents[0]!.ask('/leases');
    t.equal(leases.filter(lease => lease.own).length, 1);
    t.equal(leases.length, 3);
    // Kernels announce multicast memberships on every device; the overlay carries none of it.
    const drops = (await agents[0]!.ask('/drops')).drops.filter(drop => drop.reason !== 'multicast');
    t.same(drops, [], 'nothing else was lost');
    await Promise.all(agents.map(agent => agent.stop()));
  });
