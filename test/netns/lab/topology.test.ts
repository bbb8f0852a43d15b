import { spawnSync } from 'node:child_process';
import { existsSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { transfer } from '../../../bench/lab/transfer.ts';
import { removeStale } from '../../../src/lab/namespace.ts';
import { CONDITIONS, type LabCondition } from '../../../src/lab/topology.ts';
import { labFor } from '../../fixtures/lab.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

const skip = skipUnless('root', 'netns', 'ip', 'ping', 'ethtool');

t.test('two nodes on a cable, in every underlay condition, both families', { skip }, async t => {
  const { nodes, condition, fabric } = labFor(t);
  t.equal(fabric, undefined);
  const [one, two] = nodes;
  for (const name of Object.keys(CONDITIONS) as LabCondition[]) {
    condition(name);
    const features = one!.ns.must(['ethtool', '-k', 'eth0']);
    t.match(
      features,
      new RegExp(`generic-receive-offload: ${['nic', 'wiregro', 'wirecs'].includes(name) ? 'on' : 'off'}`),
    );
    t.match(features, new RegExp(`tcp-segmentation-offload: ${name === 'def' ? 'on' : 'off'}`));
    t.match(features, new RegExp(`tx-udp-segmentation: ${['nic', 'wirecs'].includes(name) ? 'off' : 'on'}`));
    t.match(features, new RegExp(`tx-checksumming: ${name === 'wirecs' ? 'off' : 'on'}`));
  }
  for (const family of [4, 6] as const) {
    t.equal(one!.ns.attempt(['ping', '-c1', '-W10', two!.underlay[family]]).code, 0, `underlay IPv${family}`);
    t.equal(
      one!.pods[0]!.ns.attempt(['ping', '-c1', '-W10', one!.gateway[family]]).code,
      0,
      `gateway IPv${family}`,
    );
  }
});

t.test('five nodes on a switch reach each other, and the transfer compares by hash', { skip }, async t => {
  const { nodes } = labFor(t, { nodes: 5 });
  for (const node of nodes.slice(1)) {
    for (const family of [4, 6] as const) {
      t.equal(nodes[0]!.ns.attempt(['ping', '-c1', '-W10', node.underlay[family]]).code, 0);
    }
  }
  const [from, to] = [nodes[1]!, nodes[4]!];
  const result = await transfer({ from: from.ns, to: to.ns, address: to.underlay[6], bytes: 10_000_000 });
  t.equal(result.intact, true);
  t.equal(result.sent, result.received);
});

t.test('what a killed process leaves behind is removed by the next', { skip }, t => {
  const topology = fileURLToPath(new URL('../../../src/lab/topology.js', import.meta.url));
  // The process itself looks: as soon as it has ended, another test file may remove what it left.
  const script = `import { existsSync } from 'node:fs';
    import { buildLab } from ${JSON.stringify(topology)};
    const { path } = buildLab().nodes[0].ns;
    if (existsSync(path)) console.log(path);
    process.kill(process.pid, 'SIGKILL');`;
  const { stdout, signal } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
    encoding: 'utf8',
  });
  const path = stdout.trim();
  t.equal(signal, 'SIGKILL');
  t.match(path, /^\/run\/netns\/rs-\d+-\d+$/, 'it was there until the kill');
  removeStale();
  t.notOk(existsSync(path), 'and is gone after the clean-up');
  t.end();
});

t.test('the clean-up of another user leaves what belongs to root', { skip }, t => {
  const namespaces = fileURLToPath(new URL('../../../src/lab/namespace.js', import.meta.url));
  const script = `import { mkdirSync } from 'node:fs';
    import { removeStale } from ${JSON.stringify(namespaces)};
    const folder = process.env.FOLDER;
    mkdirSync(folder + '/within', { recursive: true, mode: 0o700 });
    process.setgid(65534);
    process.setuid(65534);
    console.log(JSON.stringify(removeStale()));`;
  // The maker of this name has ended.
  const ended = spawnSync('true');
  const folder = `/tmp/rs-${ended.pid}`;
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const command = ['--input-type=module', '-e', script];
  const { stdout, stderr, status } = spawnSync(process.execPath, command, {
    encoding: 'utf8',
    env: { ...process.env, FOLDER: folder },
  });
  t.strictSame({ stdout, stderr, status }, { stdout: '[]\n', stderr: '', status: 0 });
  t.end();
});
