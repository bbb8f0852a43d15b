import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import type { Node } from '../../../src/lab/topology.ts';
import { until } from '../../../src/lab/until.ts';
import { agentsFor, fileStoreFor, TestAgent } from '../../fixtures/agents/agents.ts';
import { labFor } from '../../fixtures/lab.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

const skip = skipUnless('root', 'netns', 'tun', 'nft', 'iptables');

t.test('a second agent by mistake, and quick changes of the rules', { skip }, async t => {
  const lab = labFor(t, { nodes: 2 });
  const [one] = lab.nodes as [Node, Node];
  const store = fileStoreFor(t);
  const { agents } = agentsFor(t, lab, [...store.flags, '--ip-masq']);
  const [first] = agents as [TestAgent, TestAgent];
  /** What a process that was killed while it wrote has left; no process has this number. */
  const left = [join(first.stateDir, 'last-known.json'), first.subnetFile].map(
    file => `${file}.2147483647.0a1b2c3d:.tmp`,
  );
  for (const file of left) writeFileSync(file, 'x');
  for (const agent of agents) {
    agent.rememberSubnet();
    agent.start();
  }
  await Promise.all(agents.map(agent => agent.ready(1)));
  t.same(left.filter(existsSync), [], 'a start removes what killed processes left (H23)');

  await t.test(
    'a second agent with the name of the node and another state directory (H22): the lease stays',
    async t => {
      const lease = join(store.path, 'subnets', one.subnet[4].replace('/', '-'));
      const before = readFileSync(lease, 'utf8');
      const root = mkdtempSync(join(tmpdir(), 'rs-second-'));
      t.teardown(() => rmSync(root, { recursive: true, force: true }));
      mkdirSync(join(root, 'node1'), { recursive: true });
      const second = new TestAgent(one, root, store.flags);
      second.start('--web-port=0');
      t.teardown(() => second.stop('SIGKILL'));
      const hits = () => readFileSync(second.log, 'utf8').split('another process holds it').length - 1;
      await until('it to be refused', () => hits() >= 1);
      await until('its later attempts', async () => {
        const { reasons } = await second.ask('/status');
        return reasons.join().includes('flannel.1: another process holds it');
      });
      t.equal(readFileSync(lease, 'utf8'), before);
      await second.stop();
      t.match(await first.ask('/status'), { ready: true, networkStarts: 1 });
    },
  );

  await t.test('fifty quick changes of EnableNFTables (H27): none is a change by others', async t => {
    for (let n = 0; n < 50; n++) {
      store.write({ EnableNFTables: n % 2 === 0 });
      await new Promise(resolve => setTimeout(resolve, 60));
    }
    await until('the last one', () => {
      const [nft, nat] = [
        one.ns.must(['nft', 'list', 'ruleset']),
        one.ns.must(['iptables-save', '-t', 'nat']),
      ];
      return !nft.includes('table inet ripstop') && nat.includes('RIPSTOP');
    });
    // A further comparison would count what the last change left.
    await first.ready(1);
    t.match(await first.ask('/status'), {
      ready: true,
      networkStarts: 1,
      rules: { repaired: 0 },
      repairs: {},
    });
    t.notMatch(readFileSync(first.log, 'utf8'), 'restored modified firewall rules');
  });
});
