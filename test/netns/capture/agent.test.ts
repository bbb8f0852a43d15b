import t from 'tap';
import { until } from '../../../src/lab/until.ts';
import { agentsFor, fileStoreFor } from '../../fixtures/agents/agents.ts';
import { MAIN } from '../../fixtures/agents/run-node.ts';
import { labFor } from '../../fixtures/lab.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

/* `ripstop capture` through the agent: peers have the names of their leases, and host-gw has nothing to capture. */

const skip = skipUnless('root', 'netns', 'tun', 'nft', 'ip', 'ping', 'tcpdump');

async function nodes(owner: Parameters<typeof labFor>[0], type: string) {
  const lab = labFor(owner);
  const store = fileStoreFor(owner, { Backend: { Type: type } });
  const { agents } = agentsFor(owner, lab, store.flags);
  for (const agent of agents) {
    agent.rememberSubnet();
    agent.start();
  }
  await Promise.all(agents.map(agent => agent.ready(1)));
  const [one, two] = lab.nodes;
  const capture = (...args: string[]) =>
    one!.ns.launch([process.execPath, MAIN, 'capture', '--socket', agents[0]!.socket, ...args]);
  return { one: one!, two: two!, capture };
}

t.test('vxlan: a ping there and back', { skip }, async t => {
  const { one, two, capture } = await nodes(t, 'vxlan');
  const proc = capture('-p', 'egress-outer,ingress-outer', '-c', '2', 'icmp');
  await proc.saying(/capturing egress-outer, ingress-outer of vxlan, VNI 1/);
  await until('two packets', () => {
    one.pods[0]!.ns.attempt(['ping', '-c', '1', '-W', '1', two.pods[0]!.address[4]]);
    return proc.result !== undefined;
  });
  const lines = (await proc.success()).trim().split('\n');
  const [from, to] = [one, two].map(node => node.underlay[4].replaceAll('.', '\\.'));
  t.match(
    lines[0],
    new RegExp(
      ` egress-outer +${from}\\.\\d+ > ${to}\\.8472: VXLAN, .* vni 1 \\| .*ICMP.*\\(forward; peer \\S+ \\(${to}\\)\\)$`,
    ),
  );
  t.match(
    lines[1],
    new RegExp(
      ` ingress-outer +${to}\\.\\d+ > ${from}\\.8472: VXLAN, .*ICMP.*\\(forward; peer \\S+ \\(${to}\\)\\)$`,
    ),
  );
});

t.test('host-gw: the kernel carries the packets, so tcpdump is the tool', { skip }, async t => {
  const { capture } = await nodes(t, 'host-gw');
  const proc = capture();
  t.not((await proc.ended).code, 0);
  t.match(proc.stderr, /the kernel carries the packets of this node; capture with tcpdump on its device/);
});
