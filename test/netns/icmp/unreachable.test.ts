import t from 'tap';
import type { Node } from '../../../src/lab/topology.ts';
import { allAtOnce, counts, DEVICE, overlayFor, podAddress } from '../../fixtures/agents/overlay.ts';
import { labFor } from '../../fixtures/lab.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

/* A pod that calls an address which no peer owns is told so by its own gateway, and not more often than is decent. */

const skip = skipUnless('root', 'netns', 'tun', 'ip', 'ping');
const STRAY = { 4: '10.244.99', 6: 'fd00:10:244:99:' } as const;
const FLOOD = 1000;

for (const mode of ['vxlan', 'udp'] as const) {
  t.test(`${mode}: no peer for the address`, { skip }, async t => {
    const lab = labFor(t);
    const [plane] = await overlayFor(t, lab, { mode });
    const [one, two] = lab.nodes as [Node, Node];
    const pod = one.pods[0]!.ns;
    let sent = 0;
    for (const family of [4, 6] as const) {
      const [subnet, next, stray] =
        family === 4
          ? [`${STRAY[4]}.0/24`, `${STRAY[4]}.0`, `${STRAY[4]}.5`]
          : [`${STRAY[6]}:/64`, `${STRAY[6]}:`, `${STRAY[6]}:5`];
      // A stale route, as a lease that has ended leaves it behind.
      if (mode === 'vxlan')
        one.ns.ip(
          `neigh add ${next} lladdr 0a:58:fc:00:00:63 dev ${DEVICE.vxlan} nud permanent`,
          `route add ${subnet} via ${next} dev ${DEVICE.vxlan} onlink`,
        );
      else one.ns.ip(`route add ${subnet} dev ${DEVICE.udp}`);

      const once = pod.attempt(['ping', '-n', '-c', '1', '-W', '1', stray]).stdout;
      const reason =
        family === 4 ? 'Destination Host Unreachable' : 'Destination unreachable: Address unreachable';
      t.match(once, `From ${one.gateway[family]} icmp_seq=1 ${reason}`, `IPv${family}: from its gateway`);

      // The answer may arrive before the packet that it is about has been counted.
      await counts(t, plane!, 'no-peer', ++sent);
      const flood = ['ping', '-n', '-q', '-c', `${FLOOD}`, '-l', `${FLOOD}`, '-W', '1', stray];
      const { stdout } = pod.attempt(flood);
      t.match(stdout, `${FLOOD} packets transmitted, 0 received`);
      const errors = Number(/\+(\d+) errors/.exec(stdout)?.[1] ?? 0);
      sent += FLOOD;
      await counts(t, plane!, 'no-peer', sent, `IPv${family}: each is counted`);
      // One per second for the pair of addresses after a burst of six, which unit/dataplane/slow-path/rate-limit shows by its own clock.
      t.ok(errors >= 1 && errors < FLOOD / 10, `${errors} answers to ${FLOOD}`);
      const served = pod.attempt(['ping', '-n', ...allAtOnce(2), '-W', '10', podAddress(two, family)]);
      t.equal(served.code, 0, 'and the peers that are there are reached');
    }
  });
}
