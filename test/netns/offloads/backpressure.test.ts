import t from 'tap';
import { ALL_OFFLOADS } from '../../../src/dataplane/io/offloads.ts';
import { openTun } from '../../../src/dataplane/io/tun.ts';
import { native } from '../../../src/native/load.ts';
import { overlayFor, pings, podAddress } from '../../fixtures/agents/overlay.ts';
import { labFor, namespaceFor } from '../../fixtures/lab.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

const skip = skipUnless('root', 'netns', 'tun', 'ip');
const IFF_BACKPRESSURE = 0x80;

t.test('the kernel says which flags of a device it has, and which a device got', { skip }, t => {
  const ns = namespaceFor(t);
  const features = native.tunFeatures();
  t.equal(features & 0x5003, 0x5003, 'TUN, TAP, no packet information, virtio-net header');
  for (const [kind, bit] of [
    ['tun', 1],
    ['tap', 2],
  ] as const)
    for (const queues of [1, 2]) {
      const fds = openTun(ns.path, `${kind}${queues}`, kind, queues, features & IFF_BACKPRESSURE);
      for (const fd of fds) {
        const flags = native.tunFlags(fd);
        t.equal(flags & 3, bit, kind);
        t.equal((flags & 0x100) !== 0, queues === 2, 'several queues');
        t.equal(flags & IFF_BACKPRESSURE, features & IFF_BACKPRESSURE, 'backpressure as the kernel has it');
        native.closeFd(fd);
      }
    }
  t.ok(native.tunFlags(0) < 0, 'a descriptor that is no device: an errno');
  t.end();
});

t.test(
  'backpressure that this kernel may lack is asked for, shown, and keeps nothing from working',
  { skip },
  async t => {
    const lab = labFor(t);
    const has = (native.tunFeatures() & IFF_BACKPRESSURE) !== 0;
    for (const mode of ['vxlan', 'udp'] as const) {
      const planes = await overlayFor(t, lab, { mode, offloads: { ...ALL_OFFLOADS, backpressure: true } });
      for (const plane of planes)
        t.equal(
          plane.offloads.backpressure,
          has ? 'on' : 'not supported by this kernel',
          `${mode}, on request`,
        );
      t.equal(
        await pings(lab.nodes[0]!.pods[0]!.ns, podAddress(lab.nodes[1]!, 4)),
        3,
        `${mode}: packets pass`,
      );
      await Promise.all(planes.map(plane => plane.stop()));
    }
    const [plane] = await overlayFor(t, lab, {});
    t.equal(plane!.offloads.backpressure, 'off by configuration', 'off unless asked for');
  },
);
