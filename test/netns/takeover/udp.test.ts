import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import type { Proc } from '../../../src/lab/proc.ts';
import type { Node } from '../../../src/lab/topology.ts';
import { until } from '../../../src/lab/until.ts';
import { agentsFor, fileStoreFor } from '../../fixtures/agents/agents.ts';
import { DEVICE, overlayMtu, PORT } from '../../fixtures/agents/overlay.ts';
import { PingStream } from '../../fixtures/agents/ping-stream.ts';
import { compiled } from '../../fixtures/compile.ts';
import { labFor } from '../../fixtures/lab.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

/** A node with flannel's udp backend, laid out as flanneld does it. */
async function flannelUdp(node: Node, peer: Node): Promise<Proc> {
  const route = [peer.subnet[4], peer.underlay[4]];
  const words = [DEVICE.udp, node.underlay[4], `${PORT.udp}`, ...route];
  const proxy = node.ns.launch([compiled('udp-proxy'), ...words]);
  await proxy.saying(/ready/);
  node.ns.ip(
    `link set ${DEVICE.udp} mtu ${overlayMtu('udp', 4)} up`,
    `addr add ${node.tunnel[4]}/32 dev ${DEVICE.udp}`,
    `route add 10.244.0.0/16 dev ${DEVICE.udp}`,
  );
  return proxy;
}

t.test(
  'an agent that starts while flanneld with udp still runs takes over when flanneld ends',
  { skip: skipUnless('root', 'netns', 'tun', 'nft', 'cc', 'ping') },
  async t => {
    const lab = labFor(t);
    lab.podMtu(overlayMtu('udp', 4));
    const [one, two] = lab.nodes as [Node, Node];
    const store = fileStoreFor(t, { Backend: { Type: 'udp' } });
    mkdirSync(join(store.path, 'subnets'));
    for (const node of [one, two])
      writeFileSync(
        join(store.path, 'subnets', node.subnet[4].replace('/', '-')),
        JSON.stringify({ PublicIP: node.underlay[4], BackendType: 'udp' }),
      );
    const flanneld = await flannelUdp(one, two);
    const other = await flannelUdp(two, one);
    t.teardown(() => [flanneld, other].map(proc => proc.kill('SIGKILL')));
    const stream = new PingStream(two, one, 10);
    await stream.flows();

    const agent = agentsFor(t, lab, store.flags).agents[0]!;
    agent.rememberSubnet();
    agent.start();
    await until('the agent to wait for the port', async () => {
      const status = await agent.ask('/status').catch(() => undefined);
      return status?.reasons.join().includes(`UDP port ${PORT.udp} is in use`);
    });
    await stream.flows(20);

    flanneld.kill('SIGKILL');
    await agent.ready(1);
    const { sent, lost } = await stream.end();
    t.comment(`${lost} of ${sent} pings lost`);
    const log = readFileSync(agent.log, 'utf8');
    t.equal(log.split('workers started').length - 1, 1, 'it had nothing to prepare');
    t.equal(log.split('not working yet').length - 1, 1, 'and said once that it waits');
  },
);
