import t from 'tap';
import { CONTENDERS } from '../../../bench/contenders/index.ts';
import { ping } from '../../../bench/lab/measure.ts';
import { transfer } from '../../../bench/lab/transfer.ts';
import { labFor } from '../../fixtures/lab.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

/*
 * Every contender of the benchmark carries traffic whole before anyone reads a figure of it, and goes without a trace.
 */
const skip = skipUnless('root', 'netns', 'tun', 'ip', 'ping', 'ethtool');

for (const [id, contender] of Object.entries(CONTENDERS)) {
  const unavailable = skip || contender.unavailable();
  t.test(`${id}: carries a file whole, and goes`, { skip: unavailable ?? false }, async t => {
    const lab = labFor(t);
    lab.condition('wirecs');
    const links = () => lab.nodes.map(node => node.ns.must(['ip', '-o', 'link']).split('\n').length);
    const before = links();
    const deployment = await contender.deploy(lab, { underlay: 4 });
    const [from, to] = lab.nodes.map(node => node.pods[0]!);
    const route = { from: from!.ns, to: to!.ns, address: to!.address[4] };
    t.equal((await ping(route, 3)).received, 3, 'pings are answered');
    const largest = ['ping', '-c1', '-W10', '-M', 'do', '-s', `${deployment.mtu - 28}`, route.address];
    t.equal(
      route.from.attempt(largest).code,
      0,
      `a packet of its MTU, ${deployment.mtu} bytes, passes whole`,
    );
    t.equal((await transfer({ ...route, bytes: 3_000_000 })).intact, true, 'the hashes are the same');
    await deployment.stop();
    t.same(links(), before, 'no device is left');
  });
}
