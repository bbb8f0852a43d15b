import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import type { Node } from '../../../src/lab/topology.ts';
import { until } from '../../../src/lab/until.ts';
import { agentsFor, fileStoreFor, type TestAgent } from '../../fixtures/agents/agents.ts';
import { FlannelNode } from '../../fixtures/agents/flannel-node.ts';
import { labFor } from '../../fixtures/lab.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

const reaches = (from: Node, to: Node): boolean =>
  from.pods[0]!.ns.attempt(['ping', '-c1', '-W1', to.pods[0]!.address[4]]).code === 0;

t.test(
  'a changed tunnel next to a node of flannel (J10): the node waits, and keeps its traffic',
  {
    skip: skipUnless('root', 'netns', 'tun', 'vxlan', 'nft'),
  },
  async t => {
    const lab = labFor(t, { nodes: 2 });
    const [one, two] = lab.nodes as [Node, Node];
    const store = fileStoreFor(t, { Backend: { Type: 'vxlan' } });
    const { agents } = agentsFor(t, lab, [...store.flags, '--probe-interval=1']);
    const [agent] = agents as [TestAgent, TestAgent];
    mkdirSync(join(store.path, 'subnets'), { recursive: true });
    const flannel = new FlannelNode(two, '0a:58:fd:00:00:02');
    const write = (value: string) => writeFileSync(join(store.path, 'subnets', flannel.key), value);
    write(flannel.value);
    agent.rememberSubnet();
    agent.start();
    await agent.ready(1);
    const own = (await agent.ask('/leases')).find(lease => lease.own)!;
    const { mac } = (await agent.ask('/status')).overlays[0]!;
    flannel.learn(
      own.key,
      JSON.stringify({ PublicIP: one.underlay[4], BackendData: { VNI: 1, VtepMAC: mac } }),
    );
    await until('traffic', () => reaches(one, two));

    for (const [Backend, what] of [
      [{ Type: 'vxlan', VNI: 2 }, 'VNI 1 to 2'],
      [{ Type: 'host-gw' }, 'Type vxlan to host-gw'],
      [{ Type: 'vxlan', MTU: 1400 }, 'MTU 0 to 1400'],
    ] as const) {
      store.write({ Backend });
      await until(
        `the wait for ${what}`,
        async () => (await agent.ask('/status')).waiting?.includes(what) ?? false,
      );
      t.ok(reaches(one, two), `${what}: traffic goes on`);
    }
    t.match(
      (await agent.ask('/doctor')).findings.find(({ kind }) => kind === 'configuration-waits'),
      { severity: 'warning', what: /MTU 0 to 1400 waits: .*10\.244\.2\.0-24/ },
    );
    store.write({ Backend: { Type: 'vxlan' } });
    await until('nothing to wait for', async () => (await agent.ask('/status')).waiting === null);
    t.match(await agent.ask('/status'), { networkStarts: 1, ready: true });

    store.write({ Backend: { Type: 'vxlan', VNI: 2 } });
    await until('the wait', async () => (await agent.ask('/status')).waiting !== null);
    two.ns.ip('link del flannel.1');
    write(flannel.value.replace('"VNI":1', '"VNI":2'));
    await until(
      'the node to follow',
      async () => (await agent.ask('/status')).overlays[0]?.device === 'flannel.2',
    );
    await agent.ready(1);

    store.write({ Backend: { Type: 'vxlan', VNI: 3 } });
    await until('the wait', async () => (await agent.ask('/status')).waiting !== null);
    await agent.stop();
    agent.start();
    await until(
      'the new tunnel after a restart of the agent',
      async () => (await agent.ask('/status').catch(() => undefined))?.overlays[0]?.device === 'flannel.3',
    );
    t.equal((await agent.ask('/status')).waiting, null);
  },
);
