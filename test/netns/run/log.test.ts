import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import type { Node } from '../../../src/lab/topology.ts';
import { until } from '../../../src/lab/until.ts';
import { configurationOf, MAIN, newStateDir, runCommand } from '../../fixtures/agents/run-node.ts';
import { labFor } from '../../fixtures/lab.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

const skip = skipUnless('root', 'netns', 'tun', 'ip', 'nft');

t.test(
  'the log of a running agent: text on request, levels by component, changed while it runs',
  { skip },
  async t => {
    const [node, peer] = labFor(t).nodes as [Node, Node];
    const file = join(t.testdir(), 'node.yaml');
    writeFileSync(file, JSON.stringify(configurationOf(node, [peer], { mode: 'vxlan' })));
    const stateDir = newStateDir();
    const run = node.ns.launch([
      ...runCommand(file, stateDir),
      '--log-format=text',
      '--log-level=info,overlay=debug',
    ]);
    const socket = join(stateDir, 'agent.sock');
    const command = (...words: string[]) =>
      node.ns.attempt([process.execPath, MAIN, 'log-level', ...words, '--socket', socket]);
    await until('the node is ready', () => run.stderr.includes('ready: packets can flow'));
    t.match(run.stderr, /^\S+Z INFO {2}agent: ready: packets can flow \(ready=true lease=\S+\)$/m);
    t.match(run.stderr, /^\S+Z INFO {2}overlay: peers applied \(device=flannel\.1 /m);
    t.match(run.stderr, /^\S+Z DEBUG overlay: /m);
    t.notMatch(run.stderr, /^\S+Z DEBUG (?!overlay)/m);

    t.same(command().stdout, 'info,overlay=debug\n');
    t.same(command('warn,api=info').stdout, 'warn,api=info\n');
    t.same(command().stdout, 'warn,api=info\n');
    const wrong = command('warn,sore=info');
    t.equal(wrong.code, 2);
    t.match(wrong.stderr, /levels: "sore" is not one of agent, api, .*did you mean "store"/);
    t.same(command().stdout, 'warn,api=info\n', 'nothing is changed');
    await run.stop();
    t.notMatch(run.stderr, /agent: ended|\bended$/m, 'below the level that was set');
  },
);

t.test('wrong log levels are refused before anything is made', { skip }, async t => {
  const [node, peer] = labFor(t).nodes as [Node, Node];
  const file = join(t.testdir(), 'node.yaml');
  writeFileSync(file, JSON.stringify(configurationOf(node, [peer])));
  const { code, stderr } = node.ns.attempt([...runCommand(file), '--check', '--log-level=loud']);
  t.equal(code, 2);
  t.match(stderr, /--log-level: "loud" is not one of trace, debug, info, /);
});
