import t from 'tap';
import { AS_AGENTS_DO, deployRipstop } from '../../../bench/contenders/ripstop.ts';
import { packetRate } from '../../../bench/lab/measure.ts';
import type { Node } from '../../../src/lab/topology.ts';
import { labFor } from '../../fixtures/lab.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

/*
 * A pod that sends faster than its node forwards. How much arrives depends on the machine. What does not arrive must be lost
 * under a name: at the queue of the device, on the wire, at the socket, by a verdict, or at the program that receives.
 */

const skip = skipUnless('root', 'netns', 'tun', 'ip');

for (const flows of [1, 8])
  t.test(`a flood of ${flows} flows: each lost packet has a name`, { skip }, async t => {
    const lab = labFor(t);
    const [one, two] = lab.nodes as [Node, Node];
    lab.condition('wirecs');
    const overlay = await deployRipstop(lab, { underlay: 4 }, AS_AGENTS_DO);
    t.teardown(() => overlay.stop());
    const [from, to] = [one.pods[0]!, two.pods[0]!];
    const route = { from: from.ns, to: to.ns, address: to.address[4] };
    const { result, fate } = await overlay.audited!(12, () => packetRate(route, 3, 64, flows));
    const { sent, received } = result;
    const { entered, delivered, deviceQueue, underlay, socket, otherVerdicts, residue } = fate;
    t.comment(JSON.stringify({ sent, received, ...fate }));
    // The sender ends with some packets that it does not count.
    t.ok(entered >= sent && entered <= sent + 100, `${entered} frames entered of ${sent} that were sent`);
    t.equal(residue, 0, 'no frame is without an outcome');
    t.equal(otherVerdicts, 0, 'no other verdict');
    t.equal(entered, deviceQueue + underlay + socket + delivered, 'delivered, or lost under a name');
    t.ok(received > 0 && received <= delivered, `${received} of ${delivered} came to the program`);
  });
