import t from 'tap';
import type { Namespace } from '../../../src/lab/namespace.ts';
import type { Node } from '../../../src/lab/topology.ts';
import { until } from '../../../src/lab/until.ts';
import { agentsFor, fileStoreFor } from '../../fixtures/agents/agents.ts';
import { traceOn } from '../../fixtures/agents/ask.ts';
import { labFor } from '../../fixtures/lab.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

/*
 * Without masquerading, which is the default of flanneld and of the agent, a node asks a Service whose endpoint is a pod of
 * another node: the packet goes through the tunnel with an address of the node as its source.
 */

const SKIP = { skip: skipUnless('root', 'netns', 'tun', 'nft', 'iptables', 'ip6tables') };
const DUAL = { EnableIPv6: true, IPv6Network: 'fd00:10:244::/48' };
const PORT = 8000;
const SERVICE = { 4: '10.96.0.10', 6: 'fd00:96::10' };
/** A second address of node 1, which its lease does not publish. */
const SECOND = { 4: '10.50.0.1', 6: 'fd50::1' };

/** Answers every connection with the address that it came from. */
async function mirror(ns: Namespace): Promise<void> {
  const code = `require('net').createServer(s => s.end(s.remoteAddress.replace('::ffff:', ''))).listen(${PORT}, '::', () => console.log('listening'))`;
  await ns.launch([process.execPath, '-e', code]).saying(/listening/);
}

/** The address that the Service's pod sees. */
const seen = (from: Namespace, to: string): string =>
  from.attempt(['timeout', '3', 'bash', '-c', `exec 3<>/dev/tcp/${to}/${PORT}; cat <&3`]).stdout;

for (const [type, tool] of [
  ['vxlan', 'nftables'],
  ['vxlan', 'iptables'],
  ['udp', 'nftables'],
] as const)
  t.test(`${type} without masquerading, ${tool}: a node reaches a Service on another node`, SKIP, async t => {
    const lab = labFor(t);
    const families = type === 'vxlan' ? ([4, 6] as const) : ([4] as const);
    const store = fileStoreFor(t, { Backend: { Type: type }, ...(type === 'vxlan' ? DUAL : {}) });
    const { agents } = agentsFor(t, lab, [...store.flags, `--traffic-manager=${tool}`]);
    const [one, two] = lab.nodes as [Node, Node];
    const pod = two.pods[0]!;
    await mirror(pod.ns);
    for (const agent of agents) {
      agent.rememberSubnet();
      agent.start();
    }
    await Promise.all(agents.map(agent => agent.ready(1)));
    one.ns.must(
      ['nft', '-f', '-'],
      `table ip services {
 chain output {
  type nat hook output priority -100
  ip daddr ${SERVICE[4]} dnat to ${pod.address[4]}
 }
}
table ip6 services {
 chain output {
  type nat hook output priority -100
  ip6 daddr ${SERVICE[6]} dnat to ${pod.address[6]}
 }
}
`,
    );
    for (const family of families) {
      one.ns.ip(`route add ${SERVICE[family]} dev eth0 src ${one.underlay[family]}`);
      await until(`IPv${family} traffic`, () => seen(one.ns, SERVICE[family]) !== '');
      t.equal(
        seen(one.ns, SERVICE[family]),
        one.underlay[family],
        `IPv${family}: the pod sees the address of the node, as with flannel`,
      );
      one.ns.ip(
        `addr add ${SECOND[family]}/${family === 6 ? '128 nodad' : 32} dev eth0`,
        `route replace ${SERVICE[family]} dev eth0 src ${SECOND[family]}`,
      );
      await until(`IPv${family} from another address`, () => seen(one.ns, SERVICE[family]) !== '');
      t.equal(
        seen(one.ns, SERVICE[family]),
        one.tunnel[family],
        `IPv${family}: an address that the other node does not know is translated`,
      );
    }
    t.match(
      traceOn(agents[0]!, SECOND[4], pod.address[4]).steps.find(({ step }) => step === 'masquerade'),
      { text: /^yes: other nodes do not know 10\.50\.0\.1; it leaves as 10\.244\.1\.0/ },
    );
  });
