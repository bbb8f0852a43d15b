import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { removeStale } from '../../../bench/lab/namespace.ts';
import { CONDITIONS, type Condition } from '../../../bench/lab/topology.ts';
import { transfer } from '../../../bench/lab/transfer.ts';
import { labFor } from '../../fixtures/lab.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

const skip = skipUnless('root', 'netns', 'ip', 'ping', 'ethtool');

t.test('two nodes on a cable, in every underlay condition, both families', { skip }, async t => {
  const { nodes, condition, fabric } = labFor(t);
  t.equal(fabric, undefined);
  const [one, two] = nodes;
  for (const name of Object.keys(CONDITIONS) as Condition[]) {
    condition(name);
    const features = one!.ns.must(['ethtool', '-k', 'eth0']);
    t.match(
      features,
      new RegExp(`generic-receive-offload: ${name.startsWith('wire') && name !== 'wire' ? 'on' : 'off'}`),
    );
    t.match(features, new RegExp(`tcp-segmentation-offload: ${name === 'def' ? 'on' : 'off'}`));
    t.match(features, new RegExp(`tx-checksumming: ${name === 'wirecs' ? 'off' : 'on'}`));
  }
  for (const family of [4, 6] as const) {
    t.equal(one!.ns.attempt(['ping', '-c1', '-W2', two!.underlay[family]]).code, 0, `underlay IPv${family}`);
    t.equal(
      one!.pods[0]!.ns.attempt(['ping', '-c1', '-W2', one!.gateway[family]]).code,
      0,
      `gateway IPv${family}`,
    );
  }
});

t.test('five nodes on a switch reach each other, and the transfer compares by hash', { skip }, async t => {
  const { nodes } = labFor(t, { nodes: 5 });
  for (const node of nodes.slice(1)) {
    for (const family of [4, 6] as const) {
      t.equal(nodes[0]!.ns.attempt(['ping', '-c1', '-W2', node.underlay[family]]).code, 0);
    }
  }
  const [from, to] = [nodes[1]!, nodes[4]!];
  const result = await transfer({ from: from.ns, to: to.ns, address: to.underlay[6], bytes: 10_000_000 });
  t.equal(result.intact, true);
  t.equal(result.sent, result.received);
});

t.test('what a killed process leaves behind is removed by the next', { skip }, t => {
  const topology = fileURLToPath(new URL('../../../bench/lab/topology.js', import.meta.url));
  const script = `import { buildLab } from ${JSON.stringify(topology)};
    console.log(buildLab().nodes[0].ns.path); process.kill(process.pid, 'SIGKILL');`;
  const { stdout, signal } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
    encoding: 'utf8',
  });
  const path = stdout.trim();
  t.equal(signal, 'SIGKILL');
  t.ok(existsSync(path), 'it was there after the kill');
  removeStale();
  t.notOk(existsSync(path), 'and is gone after the clean-up');
  t.end();
});
