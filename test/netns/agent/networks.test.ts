import t from 'tap';
import { CHECKOUT } from '../../../bench/lab/tool.ts';
import type { Node } from '../../../src/lab/topology.ts';
import { until } from '../../../src/lab/until.ts';
import { agentsFor, fileStoreFor } from '../../fixtures/agents/agents.ts';
import { stays } from '../../fixtures/agents/stays.ts';
import { labFor } from '../../fixtures/lab.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

for (const tool of ['nftables', 'iptables'] as const)
  t.test(
    `two networks on the same nodes with one agent per network do not affect each other: ${tool}`,
    { skip: skipUnless('root', 'netns', 'tun', 'nft', 'iptables') },
    async t => {
      const lab = labFor(t);
      const [one, two] = lab.nodes as [Node, Node];
      const flags = ['--ip-masq', `--traffic-manager=${tool}`];
      const red = fileStoreFor(t);
      const blue = fileStoreFor(t, {
        Network: '10.200.0.0/16',
        Backend: { Type: 'vxlan', VNI: 2, Port: 8473 },
      });
      const { agents: reds } = agentsFor(t, lab, [...red.flags, ...flags]);
      const { agents: blues } = agentsFor(t, lab, [...blue.flags, ...flags, '--instance=blue']);
      for (const agent of reds) agent.rememberSubnet();
      for (const agent of [...reds, ...blues]) agent.start();
      await Promise.all([...reds, ...blues].map(agent => agent.ready(1)));

      const ping = (address: string) => ['ping', '-c1', '-W1', address];
      await until('pods', () => one.pods[0]!.ns.attempt(ping(two.pods[0]!.address[4])).code === 0);
      const [far] = (await blues[1]!.ask('/status')).overlays;
      const base = far!.subnets[0]!.split('/')[0]!;
      await until('the other network', () => one.ns.attempt(ping(base)).code === 0);

      const rules = () => one.ns.must(['nft', 'list', 'ruleset']);
      const named = tool === 'nftables' ? /table inet ripstop-blue / : /RIPSTOP-BLUE-POSTRTG/;
      t.match(rules(), named);
      // Three comparisons, one per second: an agent that took the other's rules for damage to its own would repair them.
      const repairs = async () => {
        const all = await Promise.all([reds[0]!, blues[0]!].map(agent => agent.ask('/status')));
        return all.map(status => [status.rules?.repaired, status.repairs, status.failedRepairs]);
      };
      await stays(t, 'nothing is repaired', repairs, Array(2).fill([0, {}, 0]), 3500);

      await blues[0]!.stop();
      const { stateDir, subnetFile } = blues[0]!;
      const cleanup = [process.execPath, `${CHECKOUT}dist/src/cli/main.js`, 'cleanup', '--instance=blue'];
      t.match(
        one.ns.must([...cleanup, `--state-dir=${stateDir}`, `--subnet-file=${subnetFile}`]),
        `removed ${tool} rules`,
      );
      t.notMatch(rules(), named);
      t.notMatch(one.ns.must(['ip', '-br', 'link']), 'flannel.2');
      t.match(rules(), tool === 'nftables' ? /table inet ripstop / : /RIPSTOP-POSTRTG/);
      t.equal(one.pods[0]!.ns.attempt(ping(two.pods[0]!.address[4])).code, 0, 'the first network works on');
    },
  );
