import t from 'tap';
import { RecentDrops } from '../../../../src/agent/overlay/recent-drops.ts';

const counts = (frames: Record<string, number>) =>
  Object.fromEntries(
    Object.entries(frames).map(([name, count]) => [name, { frames: count, bytes: count * 100 }]),
  );

t.test('drops of the start and old ones are not recent (J11)', async t => {
  let now: ReturnType<typeof counts> | undefined = counts({ 'unknown-peer': 17, runt: 1, forward: 9 });
  const drops = new RecentDrops(() => now);
  const names = () => Object.entries(drops.counts()).map(([name, { frames }]) => `${name} ${frames}`);
  t.same(names(), ['runt 1'], 'what the neighbours sent before their leases were read does not count');
  drops.start(0, 3_600_000);
  drops.start(0, 3_600_000);
  await new Promise(done => setTimeout(done, 5));
  now = counts({ 'unknown-peer': 20, runt: 1, forward: 9 });
  t.same(names(), ['runt 1', 'unknown-peer 3'], 'only what came later');
  t.same(drops.counts().runt, { frames: 1, bytes: 100 });
  for (let sample = 0; sample < 11; sample++) drops.sample();
  t.same(names(), [], 'all of it is older than the samples');
  now = counts({ 'unknown-peer': 25, runt: 1 });
  t.same(names(), ['unknown-peer 5']);
  now = counts({ 'unknown-peer': 2 });
  t.same(names(), ['unknown-peer 2'], 'a data plane that was opened again counts from zero');
  now = undefined;
  t.same(names(), []);
  drops.stop();
});
