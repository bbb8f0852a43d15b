import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { CHECKOUT } from '../../../bench/lab/tool.ts';
import { PATIENCE_MS, until } from '../../../src/lab/until.ts';
import { agentsFor, fileStoreFor } from '../../fixtures/agents/agents.ts';
import { labFor } from '../../fixtures/lab.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

const SKIP = { skip: skipUnless('root', 'netns', 'tun', 'nft', 'iptables', 'curl') };

for (const dataPlane of ['userspace', 'kernel'] as const)
  t.test(
    `foreign changes heal and are counted: ${dataPlane}`,
    { skip: SKIP.skip || (dataPlane === 'kernel' && skipUnless('vxlan')) },
    async t => {
      const lab = labFor(t);
      const store = fileStoreFor(t);
      const flags = [
        '--ip-masq',
        `--data-plane=${dataPlane}`,
        '--healthz-ip=127.0.0.1',
        '--healthz-port=8081',
        '--metrics-address=127.0.0.1:8081',
        '--ip-blackhole-route',
      ];
      const { agents } = agentsFor(t, lab, [...store.flags, ...flags]);
      for (const agent of agents) agent.rememberSubnet();
      const planned = agents[0]!.plan();
      t.match(planned, '+ lease 10.244.1.0-24');
      t.match(planned, `+ device flannel.1 type ${dataPlane === 'userspace' ? 'tap' : 'vxlan'}`);
      t.match(planned, '+ address 10.244.1.0/32 dev flannel.1');
      t.match(planned, '+ rules with nftables');
      t.notOk(existsSync(join(store.path, 'subnets')), 'nothing was taken, no directory was made');
      t.notMatch(lab.nodes[0]!.ns.must(['ip', '-br', 'link']), 'flannel', 'nothing was made');
      for (const agent of agents) {
        agent.start();
      }
      await Promise.all(agents.map(agent => agent.ready(1)));
      const [node, other] = lab.nodes;
      const agent = agents[0]!;
      const pings = () =>
        node!.pods[0]!.ns.attempt(['ping', '-c1', '-W1', other!.pods[0]!.address[4]]).code === 0;
      await until('the first ping', pings);
      const mac = node!.ns.must(['cat', '/sys/class/net/flannel.1/address']).trim();

      t.equal(agent.plan(), 'nothing to change\n');
      t.equal(agent.plan(), 'nothing to change\n');
      const damages: [string, string[]][] = [
        ['route deleted', ['ip', 'route', 'del', '10.244.2.0/24']],
        ['route led astray', ['ip', 'route', 'replace', '10.244.2.0/24', 'dev', 'lo']],
        ['neighbour deleted', ['ip', 'neigh', 'del', '10.244.2.0', 'dev', 'flannel.1']],
        ['address deleted', ['ip', 'addr', 'flush', 'dev', 'flannel.1']],
        ['device down', ['ip', 'link', 'set', 'flannel.1', 'down']],
        ['MTU changed', ['ip', 'link', 'set', 'flannel.1', 'mtu', '1200']],
        ['device removed', ['ip', 'link', 'del', 'flannel.1']],
        ...(dataPlane === 'kernel'
          ? ([
              [
                'forwarding entry deleted',
                [
                  'bridge',
                  'fdb',
                  'del',
                  other!.ns.must(['cat', '/sys/class/net/flannel.1/address']).trim(),
                  'dev',
                  'flannel.1',
                  'dst',
                  other!.underlay[4],
                  'self',
                ],
              ],
            ] as [string, string[]][])
          : []),
      ];
      for (const [what, command] of damages) {
        node!.ns.must(command);
        await until(`traffic after: ${what}`, pings, PATIENCE_MS, 100);
        await until(
          `no difference after: ${what}`,
          async () => (await agent.ask('/pending')).length === 0,
          PATIENCE_MS,
          200,
        );
      }
      t.equal(node!.ns.must(['cat', '/sys/class/net/flannel.1/mtu']).trim(), '1450');
      t.equal(
        node!.ns.must(['cat', '/sys/class/net/flannel.1/address']).trim(),
        mac,
        'the same MAC after all that',
      );
      node!.ns.must(['nft', 'flush', 'ruleset']);
      await until('the rules back', () => node!.ns.must(['nft', 'list', 'ruleset']).includes('masquerade'));
      await until('the repair counted', async () => (await agent.ask('/status')).rules!.repaired === 1);
      t.equal(statSync(agent.socket).mode & 0o777, 0o600, 'the socket is its owner’s');
      agent.signal('SIGHUP');
      await until('SIGHUP heard', () =>
        readFileSync(agent.log, 'utf8').includes('reading the configuration again'),
      );
      rmSync(agent.subnetFile);
      await until('subnet.env back', () => existsSync(agent.subnetFile));
      t.match(readFileSync(agent.subnetFile, 'utf8'), 'FLANNEL_SUBNET=10.244.1.1/24');
      const status = await agent.ask('/status');
      t.ok(status.repairs['set-route']! >= 2, JSON.stringify(status.repairs));
      t.ok(status.repairs['set-neighbour']! >= 1);
      t.match(node!.ns.must(['ip', 'route', 'show', 'type', 'blackhole']), '10.244.1.0/24');

      const fetch = (path: string) =>
        node!.ns.must(['curl', '-s', '-w', '\n%{http_code}', `http://127.0.0.1:8081${path}`]);
      t.match(fetch('/healthz'), /200$/);
      t.match(fetch('/readyz'), /^ready\n\n200$/);
      const metrics = fetch('/metrics');
      t.match(metrics, /# TYPE ripstop_repairs_total counter\nripstop_repairs_total\{step="set-route"\} \d/);
      t.match(metrics, /ripstop_ready 1\n/);
      t.match(metrics, /ripstop_peers\{device="flannel.1"\} 1\n/);
      if (dataPlane === 'userspace')
        t.match(
          metrics,
          /ripstop_peer_sent_bytes_total\{device="flannel.1",peer="10.244.2.0-24",address="172.31.0.2"\} [1-9]/,
        );

      await agent.stop();
      t.equal(existsSync(agent.subnetFile), true, 'subnet.env, rules and lease stay for the next start');
      t.match(node!.ns.must(['nft', 'list', 'ruleset']), /masquerade/);
      // A process that is killed leaves its sockets.
      const socket = join(agent.stateDir, 'cni.sock');
      writeFileSync(socket, '');
      const cleanup = node!.ns.must([
        process.execPath,
        `${CHECKOUT}dist/src/cli/main.js`,
        'cleanup',
        '--state-dir',
        agent.stateDir,
        '--subnet-file',
        agent.subnetFile,
      ]);
      t.match(cleanup, /removed nftables rules/);
      t.match(cleanup, /removed route 10.244.1.0\/24/);
      t.notMatch(node!.ns.must(['nft', 'list', 'ruleset']), /ripstop/);
      t.notMatch(node!.ns.must(['ip', 'route']), /flannel|114|blackhole/);
      t.notMatch(node!.ns.must(['ip', '-br', 'link']), /flannel/);
      t.match(cleanup, /kept .*subnet\.env: this node holds 10\.244\.1\.0\/24/);
      t.equal(existsSync(agent.subnetFile), true, 'flanneld and the next agent read their subnet there');
      t.equal(existsSync(socket), false);
      t.match(node!.ns.must(['ip', '-br', 'link']), /cni0/, 'what is not ours stays');
      t.notMatch(readFileSync(agent.log, 'utf8'), /"level":"fatal"|TypeError/);
    },
  );
