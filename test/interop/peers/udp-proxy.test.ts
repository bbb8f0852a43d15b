import t from 'tap';
import { transfer } from '../../../bench/lab/transfer.ts';
import type { Node } from '../../../src/lab/topology.ts';
import {
  counted,
  DEVICE,
  deployRipstop,
  overlayMtu,
  PORT,
  pings,
  podAddress,
  verdicts,
} from '../../fixtures/agents/overlay.ts';
import { compiled } from '../../fixtures/compile.ts';
import { labFor } from '../../fixtures/lab.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';
import { captureFrames, dissect } from '../../fixtures/traffic/capture-frames.ts';

/* Ripstop on node 1, a forwarder that behaves as flannel's udp proxy on node 2: pods talk across. IPv4, as in flannel. */

const skip = skipUnless('root', 'netns', 'tun', 'ip', 'cc', 'ping', 'ethtool', 'tcpdump', 'tshark');
for (const condition of ['def', 'wirecs'] as const) {
  t.test(`pods behind Ripstop and behind flannel's udp format, ${condition}`, { skip }, async t => {
    const lab = labFor(t);
    lab.condition(condition);
    const [ours, theirs] = lab.nodes as [Node, Node];
    const plane = await deployRipstop(ours, [theirs], { mode: 'udp' });
    t.teardown(() => plane.stop());
    const route = [ours.subnet[4], ours.underlay[4]];
    const proxy = theirs.ns.launch([
      compiled('udp-proxy'),
      DEVICE.udp,
      theirs.underlay[4],
      `${PORT.udp}`,
      ...route,
    ]);
    t.teardown(() => proxy.kill('SIGKILL'));
    await proxy.saying(/ready/);
    theirs.ns.ip(
      `link set ${DEVICE.udp} mtu ${overlayMtu('udp', 4)} txqueuelen 1000 up`,
      `addr add ${theirs.tunnel[4]}/32 dev ${DEVICE.udp}`,
      `route add ${ours.subnet[4]} dev ${DEVICE.udp}`,
    );
    lab.podMtu(overlayMtu('udp', 4));

    const [own, far] = [ours.pods[0]!.ns, theirs.pods[0]!.ns];
    for (const bytes of [0, 56, overlayMtu('udp', 4) - 28, 4000])
      t.equal(await pings(own, podAddress(theirs, 4), { count: 2, bytes }), 2, `ping of ${bytes} bytes`);
    // Both nodes route, and the proxy alone takes a hop more each time: Ripstop takes none.
    const said = own.attempt(['ping', '-n', '-c', '1', '-W', '2', podAddress(theirs, 4)]).stdout;
    t.match(said, 'ttl=61', 'TTL of a reply');

    const ports = await captureFrames(
      ours.ns,
      'eth0',
      { filter: 'udp', direction: 'out', complete: false },
      async () => {
        for (const [from, to, name] of [
          [own, far, 'to'],
          [far, own, 'from'],
        ] as const) {
          const address = podAddress(to === far ? theirs : ours, 4);
          const { intact, seconds } = await transfer({ from, to, address, bytes: 64_000_000 });
          t.ok(intact, `64 MB ${name} the proxy, by hash (${seconds.toFixed(1)} s)`);
        }
      },
    );
    const outer = ['udp.srcport', 'udp.dstport', 'ip.frag_offset'];
    const seen = new Set(dissect(ports, outer).map(([source, to]) => `${source} to ${to}`));
    t.same([...seen], [`${PORT.udp} to ${PORT.udp}`], 'from and to port 8285 alone');
    t.same(
      Object.keys(verdicts(plane)).filter(name => !['forward', 'multicast'].includes(name)),
      [],
      'nothing was dropped',
    );
    t.ok(counted(plane, 'forward') > 0);
  });
}
