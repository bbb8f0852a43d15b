import t from 'tap';
import type { Family } from '../../../encap/encap.ts';
import type { Lab, Node } from '../../../src/lab/topology.ts';
import { deployKernelVxlan, overlayFor, podAddress } from '../../fixtures/agents/overlay.ts';
import { labFor } from '../../fixtures/lab.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

/* Pod to pod is two hops, the two nodes, whatever lies between them: kernel VXLAN is asked in the same way. */

const skip = skipUnless('root', 'netns', 'tun', 'ip', 'bridge', 'vxlan', 'ping');

/** Who answers probes that may live 1, 2, 3 and 4 hops, and what is left of the TTL of a reply. */
function hops(lab: Lab, family: Family): string[] {
  const [from, to] = lab.nodes as [Node, Node];
  return [1, 2, 3, 4].map(ttl => {
    const argv = ['ping', '-n', '-c', '1', '-W', '1', '-t', `${ttl}`, podAddress(to, family)];
    const { stdout } = from.pods[0]!.ns.attempt(argv);
    const expired = /^From (\S+) .*(?:Time to live exceeded|Hop limit)/m.exec(stdout);
    const reply = /^\d+ bytes from (\S+): .*ttl=(\d+)/m.exec(stdout);
    if (expired) return `expired at ${expired[1]}`;
    return reply ? `reply of ${reply[1]}, ttl ${reply[2]}` : `nothing: ${stdout}`;
  });
}

t.test('two hops from pod to pod, as with kernel VXLAN', { skip }, async t => {
  const lab = labFor(t);
  const [one, two] = lab.nodes as [Node, Node];
  const removals = [deployKernelVxlan(one, [two]), deployKernelVxlan(two, [one])];
  const kernel = ([4, 6] as const).map(family => hops(lab, family));
  for (const remove of removals) remove();
  for (const [index, family] of ([4, 6] as const).entries()) {
    t.same(kernel[index], [
      `expired at ${one.gateway[family]}`,
      `expired at ${two.tunnel[family]}`,
      `reply of ${podAddress(two, family)}, ttl 62`,
      `reply of ${podAddress(two, family)}, ttl 62`,
    ]);
  }
  for (const mode of ['vxlan', 'udp'] as const) {
    for (const underlay of [4, 6] as const) {
      const planes = await overlayFor(t, lab, { mode, underlay });
      for (const [index, family] of ([4, 6] as const).entries())
        t.same(hops(lab, family), kernel[index], `${mode} over IPv${underlay}, inner IPv${family}`);
      await Promise.all(planes.map(plane => plane.stop()));
    }
  }
});
