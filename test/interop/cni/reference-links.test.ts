import t from 'tap';
import { CniNode } from '../../fixtures/cni/cni.ts';
import { CASES, lacking, observe, REFERENCE } from '../../fixtures/cni/reference-links.ts';
import { asTheReference } from '../../fixtures/cni/reference-links-verdict.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

/* Where this machine's kernel lacks a kind of link, qemu-plugins.test.ts runs the case in a guest that has it. */

const skip = skipUnless('root', 'netns', 'ip', 'nft', `${REFERENCE}/bridge`);

const lab = skip ? undefined : new CniNode(t);
const rooms = lab && { lab, theirs: lab.pod(t), ours: lab.pod(t) };
for (const ns of rooms ? [rooms.lab.node, rooms.theirs, rooms.ours] : [])
  ns.sysctl('net.ipv6.conf.default.accept_dad=0');

for (const one of CASES) {
  const lacks = skip ? undefined : lacking(one);
  t.test(
    one.name,
    { skip: skip || (lacks !== undefined && `missing here: ${lacks} in the kernel`) },
    async t => {
      asTheReference(t, await observe(rooms!, one));
    },
  );
}
