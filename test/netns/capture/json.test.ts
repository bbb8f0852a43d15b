import t from 'tap';
import { until } from '../../../src/lab/until.ts';
import { MAIN } from '../../fixtures/agents/run-node.ts';
import { watchedNodes } from '../../fixtures/agents/watched-nodes.ts';
import { readLines, readOutput } from '../../fixtures/json-output.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

const skip = skipUnless('root', 'netns', 'tun');

t.test(
  '--json of each command, two nodes with traffic and a drop, has its published schema',
  { skip },
  async t => {
    const { one, two, folder, ripstop } = await watchedNodes(t, {
      mode: 'udp',
      networks: ['10.244.0.0/16', 'fd00:10:244::/48'],
    });
    const output = async (command: string, ...args: string[]) =>
      ripstop(one, command, '--json', ...args).success();
    const following = ripstop(one, 'drops', '--follow', '--json');
    await following.saying(/following/);
    const [pod, to] = [one.pods[0]!.ns, two.pods[0]!.address[4]];
    await until('traffic', () => pod.attempt(['ping', '-c1', '-W1', to]).code === 0);
    pod.attempt(['ping', '-c1', '-W1', '10.244.77.7']);
    await until('a drop', () => following.stdout.includes('no-peer'));
    await following.stop('SIGINT');
    const dropped = readLines('ripstop-drop/1', following.stdout).find(({ reason }) => reason === 'no-peer');
    t.match(dropped, { direction: 'egress', peer: null, from: null, errno: null });

    t.match(readOutput('ripstop-status/1', await output('status')), {
      ready: true,
      overlays: [{ mode: 'udp', dataPlane: 'userspace' }],
    });
    const { peers } = readOutput('ripstop-peers/1', await output('peers'));
    t.match(peers, [{ address: two.underlay[4], traffic: { egress: { frames: Number } } }]);
    t.match(readOutput('ripstop-routes/1', await output('routes')).routes, [
      { destination: '10.244.0.0/16' },
    ]);
    t.ok(readOutput('ripstop-leases/1', await output('leases')).leases.some(({ own }) => own));
    const { drops } = readOutput('ripstop-drops/1', await output('drops'));
    t.ok(drops.some(({ reason }) => reason === 'no-peer'));
    const last = readOutput('ripstop-last-drops/1', await output('drops', '--last', '9'));
    t.ok(last.drops.some(({ reason, skipped }) => reason === 'no-peer' && skipped === 0));
    t.equal(readOutput('ripstop-recorder/1', await output('recorder')).overlays[0]?.recorder.headers, false);
    t.same(readOutput('ripstop-plan/1', await output('plan')).steps, []);
    t.type(readOutput('ripstop-doctor/1', await output('doctor')).inOrder.length, 'number');
    t.match(
      readOutput('ripstop-trace/1', await output('trace', '--src', one.pods[0]!.address[4], '--dst', to))
        .nodes,
      [{ outcome: 'forwarded', departure: { to: two.underlay[4] } }],
    );

    const state = `${folder}/empty`;
    const cleanup = [MAIN, 'cleanup', '--json', `--state-dir=${state}`, `--subnet-file=${state}/subnet.env`];
    const calls = `--cni-calls-dir=${state}/calls`;
    const unused = one.pods[0]!.ns.must([process.execPath, ...cleanup, calls]);
    t.same(readOutput('ripstop-cleanup/1', unused), {
      ...{ format: 'ripstop-cleanup/1', removed: [], completed: [], kept: [], failures: [] },
    });
  },
);
