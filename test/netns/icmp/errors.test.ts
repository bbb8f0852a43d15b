import t from 'tap';
import { createLog, type Log } from '../../../src/base/log.ts';
import type { Node } from '../../../src/lab/topology.ts';
import { until } from '../../../src/lab/until.ts';
import { counted, counts, overlayFor, pings, podAddress, routeTo } from '../../fixtures/agents/overlay.ts';
import { stays } from '../../fixtures/agents/stays.ts';
import { labFor } from '../../fixtures/lab.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

/* Device and underlay go and come back: what is lost meanwhile has a name, and nothing needs a restart. */

const skip = skipUnless('root', 'netns', 'tun', 'ip', 'ping');

for (const mode of ['vxlan', 'udp'] as const) {
  t.test(`${mode}: device down, underlay down, peer gone`, { skip }, async t => {
    const lab = labFor(t);
    const planes = await overlayFor(t, lab, { mode });
    const [one, two] = lab.nodes as [Node, Node];
    const plane = planes[0]!;
    const device = plane.deviceName;
    const there = (wait = 0.5) => pings(one.pods[0]!.ns, podAddress(two, 4), { count: 2, wait });
    const back = () => pings(two.pods[0]!.ns, podAddress(one, 4), { count: 2, wait: 0.5 });
    t.equal(await there(10), 2);

    one.ns.ip(`link set ${device} down`);
    t.equal(await back(), 0);
    await counts(t, plane, 'write-failed', 2, 'device down');
    one.ns.ip(`link set ${device} up`);
    routeTo(one, two, mode, true);
    t.equal(await there(10), 2, 'and up again');

    one.ns.ip('link set eth0 down');
    t.equal(await there(), 0);
    await counts(t, plane, 'send-failed', 2, 'underlay down');
    one.ns.ip('link set eth0 up');
    t.ok(await until('the underlay', async () => (await there()) === 2), 'and up again');

    // Port unreachable comes back for what is sent to a node whose overlay has stopped; later sends must not suffer.
    await planes[1]!.stop();
    const before = counted(plane, 'forward');
    t.equal(await there(), 0);
    await counts(t, plane, 'forward', before + 2, 'a silent peer: still sent, nothing refused');
    t.equal(plane.counters().restarts, 0);
  });
}

t.test('the device is deleted under us', { skip }, async t => {
  const lab = labFor(t);
  const said: string[] = [];
  const log = { ...createLog('silent'), error: (_: object, message: string) => said.push(message) };
  const [plane] = await overlayFor(t, lab, { log: log as unknown as Log });
  lab.nodes[0]!.ns.ip(`link delete ${plane!.deviceName}`);
  await until('a word about it', () => said.length > 0);
  await stays(t, 'told once, not as long as it lasts', () => said, ['overlay device was deleted']);
  await plane!.stop();
});
