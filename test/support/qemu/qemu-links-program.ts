import { CniNode } from '../cni/cni.ts';
import { CASES, lacking, observe } from '../cni/reference-links.ts';

/*
 * Runs in the guest, started by qemu-plugins.test.ts: all cases that its kernel can, one line of JSON each. No tap here:
 * loading it takes the emulated processor longer than the cases do.
 */

const undo: (() => void)[] = [];
const owner = { teardown: (step: () => void) => void undo.push(step) };
const lab = new CniNode(owner);
const rooms = { lab, theirs: lab.pod(owner), ours: lab.pod(owner) };
for (const ns of [lab.node, rooms.theirs, rooms.ours]) ns.sysctl('net.ipv6.conf.default.accept_dad=0');

for (const one of CASES.filter(({ name }) => process.argv.includes(name))) {
  const lacks = lacking(one);
  const answer =
    lacks !== undefined
      ? { fault: `the guest's kernel lacks ${lacks}` }
      : await observe(rooms, one).then(
          observed => ({ observed }),
          (error: Error) => ({ fault: error.stack }),
        );
  process.stdout.write(`${JSON.stringify({ name: one.name, ...answer })}\n`);
}
for (const step of undo) step();
