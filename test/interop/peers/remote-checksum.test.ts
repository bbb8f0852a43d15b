import t from 'tap';
import { transfer } from '../../../bench/lab/transfer.ts';
import { must } from '../../../src/lab/command.ts';
import type { Lab } from '../../../src/lab/topology.ts';
import {
  counted,
  DEVICE,
  deployKernelVxlan,
  deployRipstop,
  overlayMtu,
  peerFor,
  podAddress,
} from '../../fixtures/agents/overlay.ts';
import { labFor } from '../../fixtures/lab.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

/*
 * Remote checksum offload: inner checksums travel open, and the receiver's stack finishes them. Between Ripstop nodes,
 * and with the kernel's vxlan device, which speaks the same header when told to (remcsumtx, remcsumrx).
 */

const skip = skipUnless('root', 'netns', 'tun', 'ip', 'bridge', 'vxlan', 'ethtool');
interface Assertions {
  ok(value: unknown, message: string): unknown;
}

const BYTES = 256_000_000;

async function moveBothWays(t: Assertions, lab: Lab): Promise<void> {
  const [a, b] = lab.nodes;
  for (const inner of [4, 6] as const) {
    for (const [from, to] of [
      [a!, b!],
      [b!, a!],
    ] as const) {
      const ends = { from: from.pods[0]!.ns, to: to.pods[0]!.ns, address: podAddress(to, inner) };
      const { intact, seconds } = await transfer({ ...ends, bytes: BYTES, seed: inner });
      t.ok(
        intact,
        `inner IPv${inner}, node ${from.index} to node ${to.index} (${((BYTES * 8e-9) / seconds).toFixed(1)} Gbit/s)`,
      );
    }
  }
}

for (const condition of ['def', 'wirecs'] as const) {
  t.test(`Ripstop and Ripstop, ${condition}`, { skip }, async t => {
    const lab = labFor(t);
    lab.condition(condition);
    const [a, b] = lab.nodes;
    const planes = [await deployRipstop(a!, [b!]), await deployRipstop(b!, [a!])];
    t.teardown(() => Promise.all(planes.map(plane => plane.stop())));
    planes[0]!.setPeers([{ ...peerFor(b!, {}), remoteChecksum: true }]);
    planes[1]!.setPeers([{ ...peerFor(a!, {}), remoteChecksum: true }]);
    lab.podMtu(overlayMtu('vxlan', 4));
    await moveBothWays(t, lab);
    for (const plane of planes)
      t.strictSame([counted(plane, 'bad-checksum'), counted(plane, 'bad-flags')], [0, 0]);
  });
}

t.test('Ripstop and a kernel with remcsumtx and remcsumrx', { skip }, async t => {
  const lab = labFor(t);
  lab.condition('wirecs');
  const [ours, kernels] = lab.nodes;
  const plane = await deployRipstop(ours!, [kernels!]);
  t.teardown(() => plane.stop());
  plane.setPeers([{ ...peerFor(kernels!, {}), remoteChecksum: true }]);
  const remove = deployKernelVxlan(kernels!, [ours!], { checksum: true, remoteChecksum: true });
  t.teardown(remove);
  lab.podMtu(overlayMtu('vxlan', 4));
  t.match(
    must(['ip', '-n', kernels!.ns.name, '-d', 'link', 'show', DEVICE.vxlan]),
    /remcsumtx remcsumrx/,
    'the kernel has it on',
  );
  await moveBothWays(t, lab);
  t.equal(counted(plane, 'bad-checksum'), 0);
});

t.test('a peer that did not agree is refused, as the kernel refuses it', { skip }, async t => {
  const lab = labFor(t);
  const [a, b] = lab.nodes;
  const planes = [await deployRipstop(a!, [b!]), await deployRipstop(b!, [a!])];
  t.teardown(() => Promise.all(planes.map(plane => plane.stop())));
  planes[0]!.setPeers([{ ...peerFor(b!, {}), remoteChecksum: true }]);
  lab.podMtu(overlayMtu('vxlan', 4));
  const [from, to, address] = [a!.pods[0]!.ns, b!.pods[0]!.ns, podAddress(b!, 4)];
  await t.rejects(transfer({ from, to, address, bytes: 1000, timeoutMs: 3_000 }), 'nothing arrives');
  t.ok(counted(planes[1]!, 'bad-flags') > 0, 'counted as bad-flags');
});
