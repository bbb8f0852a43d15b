import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import type { Node } from '../../../src/lab/topology.ts';
import { until } from '../../../src/lab/until.ts';
import { agentsFor, fileStoreFor } from '../../fixtures/agents/agents.ts';
import { labFor } from '../../fixtures/lab.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

t.test(
  'the underlay interface gets another subnet and loses it: the leases that depend on it are judged again',
  { skip: skipUnless('root', 'netns', 'nft') },
  async t => {
    const lab = labFor(t, { nodes: 2 });
    const store = fileStoreFor(t, { Network: '10.244.0.0/16', Backend: { Type: 'host-gw' } });
    const { agents } = agentsFor(t, lab, store.flags);
    const [agent] = agents;
    agent!.rememberSubnet();
    agent!.start();
    await agent!.ready(0);
    const [node] = lab.nodes as [Node];
    const write = (key: string, address: string) =>
      writeFileSync(
        join(store.path, 'subnets', key),
        JSON.stringify({ PublicIP: address, BackendType: 'host-gw' }),
      );
    const rejected = async () => {
      const { rejected: all } = await agent!.ask('/status');
      return all.map(({ key, reason }) => `${key} ${reason}`).join();
    };
    const routes = () => node.ns.must(['ip', 'route', 'show', 'proto', '114']);

    write('10.244.77.0-24', '198.51.100.9');
    await until('it behind a router', async () => (await rejected()) === '10.244.77.0-24 off-link');
    node.ns.ip('addr add 198.51.100.1/24 dev eth0');
    await until('a route to it', () => routes().includes('10.244.77.0/24 via 198.51.100.9'));
    t.equal(await rejected(), '');
    node.ns.ip('addr add 10.244.77.1/25 dev eth0');
    await until('it on the underlay', async () => (await rejected()) === '10.244.77.0-24 underlay');
    node.ns.ip('addr del 10.244.77.1/25 dev eth0');
    await until('the route again', () => routes().includes('10.244.77.0/24 via 198.51.100.9'));
    node.ns.ip('addr del 198.51.100.1/24 dev eth0');
    await until('it behind a router again', async () => (await rejected()) === '10.244.77.0-24 off-link');
    t.ok((await agent!.ask('/status')).networkStarts === 1, 'in one session');
  },
);
