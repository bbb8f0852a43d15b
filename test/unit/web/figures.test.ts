import t from 'tap';
import type { PeerView, View } from '../../../src/api/web/messages.ts';
import { niceSteps } from '../../../src/web/figures/axis.ts';
import { peerKey, ratesBetween } from '../../../src/web/figures/rates.ts';
import { capacity, layOut } from '../../../src/web/views/map-layout.ts';

t.test('the steps of an axis are round, few, and hold the largest value', async t => {
  for (const max of [0, 0.3, 1, 7, 17.5, 40e6, 999, 1e9]) {
    const steps = niceSteps(max);
    t.equal(steps[0], 0);
    t.ok(steps.at(-1)! >= max && steps.length <= 6, `${max}: ${steps}`);
  }
});

const peer = (sent: number, received: number): PeerView => ({
  id: 'b',
  name: 'node-b',
  address: '192.0.2.2',
  device: 'flannel.1',
  subnets: [],
  direct: false,
  sent: { frames: sent / 100, bytes: sent },
  received: { frames: received / 100, bytes: received },
  probe: null,
});
const view = (now: number, ...peers: PeerView[]) => ({ now, peers }) as unknown as View;

t.test('rates are the growth between two views; a restart gives no negative rate', async t => {
  const key = peerKey(peer(0, 0));
  const rate = ratesBetween(view(1000, peer(1000, 5000)), view(3000, peer(3000, 2000))).get(key);
  t.strictSame(rate, { sentBits: 8000, receivedBits: 0 });
  t.equal(ratesBetween(undefined, view(3000, peer(3000, 2000))).get(key)?.sentBits, 0);
  t.equal(ratesBetween(view(1000), view(3000, peer(3000, 2000))).get(key)?.sentBits, 0, 'a new peer');
});

t.test('nothing on the map lies on something else, in any width', async t => {
  for (const width of [320, 619, 620, 800, 979, 980, 1400])
    for (const peers of [0, 1, 2, 7, capacity(width)]) {
      const { hub, peers: boxes, threads, height } = layOut(width, peers);
      t.equal(boxes.length, peers);
      t.equal(threads.length, peers);
      const all = [hub, ...boxes];
      const apart = all.every((a, i) =>
        all
          .slice(i + 1)
          .every(
            b =>
              a.x + a.width <= b.x || b.x + b.width <= a.x || a.y + a.height <= b.y || b.y + b.height <= a.y,
          ),
      );
      const inside = all.every(
        ({ x, y, width: w, height: h }) => x >= 0 && y >= 0 && x + w <= width && y + h <= height,
      );
      t.ok(apart && inside, `${peers} peers at ${width}`);
    }
});
