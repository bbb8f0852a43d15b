import t from 'tap';
import type { Namespace } from '../../../src/lab/namespace.ts';
import { until } from '../../../src/lab/until.ts';
import { agentsFor, fileStoreFor } from '../../fixtures/agents/agents.ts';
import { labFor } from '../../fixtures/lab.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

const PORT = 8000;
const OUTSIDE = '172.31.0.254';

/** Answers every connection with the address that it came from. */
async function mirror(ns: Namespace): Promise<void> {
  const code = `require('net').createServer(s => s.end(s.remoteAddress.replace('::ffff:', ''))).listen(${PORT}, '::', () => console.log('listening'))`;
  await ns.launch([process.execPath, '-e', code]).saying(/listening/);
}

/** The address that `to` sees when `from` connects. */
function seen(from: Namespace, to: string): string {
  return from.attempt(['timeout', '3', 'bash', '-c', `exec 3<>/dev/tcp/${to}/${PORT}; cat <&3`]).stdout;
}

t.test(
  'whose address is kept and whose is not',
  { skip: skipUnless('root', 'netns', 'tun', 'nft', 'iptables', 'conntrack') },
  async t => {
    const lab = labFor(t, { nodes: 3 });
    const store = fileStoreFor(t);
    const { agents } = agentsFor(t, lab, [...store.flags, '--ip-masq']);
    const [one, two, three] = lab.nodes;
    const outside = lab.fabric!;
    outside.ip(`addr add ${OUTSIDE}/24 dev br0`, `route add 10.244.0.0/16 via ${one!.underlay[4]}`);
    const [pod1, pod2] = [one!.pods[0]!, two!.pods[0]!];
    for (const ns of [outside, pod1.ns, pod2.ns]) await mirror(ns);
    // As Docker leaves a machine: what no rule of iptables accepts is not forwarded.
    for (const node of lab.nodes) node.ns.must(['iptables', '-P', 'FORWARD', 'DROP']);
    for (const agent of agents) agent.rememberSubnet();

    for (const tool of ['nftables', 'iptables', 'nftables'] as const)
      await t.test(tool, async t => {
        for (const agent of agents) agent.start(`--traffic-manager=${tool}`);
        await Promise.all(agents.map(agent => agent.ready(2)));
        await until('traffic', () => seen(pod1.ns, pod2.address[4]) !== '');

        t.equal(seen(pod1.ns, pod2.address[4]), pod1.address[4], 'pod to pod of another node: kept');
        t.equal(seen(pod1.ns, OUTSIDE), one!.underlay[4], 'pod to the world: masqueraded');
        t.equal(
          seen(outside, pod1.address[4]),
          OUTSIDE,
          'a client from outside to a pod of this node: kept (NodePort, policy Local)',
        );
        t.equal(
          seen(outside, pod2.address[4]),
          one!.tunnel[4],
          'from outside through this node to a pod elsewhere: masqueraded, so that answers come back',
        );
        t.equal(
          seen(three!.ns, pod2.address[4]),
          three!.tunnel[4],
          'a node itself to a pod elsewhere: its overlay address',
        );

        const ruleset = one!.ns.must(['nft', 'list', 'ruleset']);
        one!.ns.must(
          ['nft', '-f', '-'],
          'table ip marks {\n chain pre {\n type filter hook prerouting priority mangle\n ip saddr 10.244.1.0/24 meta mark set 0x4001\n }\n}\n',
        );
        const marked = one!.ns.launch([
          'timeout',
          '3',
          'tcpdump',
          '-lni',
          'eth0',
          '-c1',
          'tcp',
          'and',
          'dst',
          'port',
          String(PORT),
        ]);
        await marked.saying(/listening on/);
        seen(pod1.ns, OUTSIDE);
        t.match(
          await marked.success().catch(() => marked.stdout),
          `${pod1.address[4]}.`,
          "kube-proxy's mark among others: left to kube-proxy",
        );
        one!.ns.must(['nft', 'delete', 'table', 'ip', 'marks']);

        t.equal(
          one!.ns.must(['conntrack', '-L', '-p', 'udp', '--dport', '8472']).trim(),
          '',
          'the tunnel is in no connection table',
        );
        if (tool === 'iptables') t.notMatch(ruleset, /table inet ripstop/, 'nothing of the other tool');
        else t.notMatch(ruleset, /RIPSTOP-POSTRTG/, 'nothing of the other tool');
        await Promise.all(agents.map(agent => agent.stop()));
      });
  },
);
