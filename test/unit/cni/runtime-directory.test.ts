import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import t from 'tap';
import { launch } from '../../../bench/lab/proc.ts';
import { installCni } from '../../../src/cni/install.ts';
import { serveCni } from '../../../src/cni/shim/serve.ts';
import { CWD } from '../../../src/cni/skel/environment.ts';
import { attachment, scratch, testHost } from './fixtures/harness.ts';

/*
 * Relative paths start at the working directory of the runtime, as with the reference plugins, also when another process,
 * the agent, works on the call. macvlan stands for the plugins that delegate: without a namespace of the pod its DEL asks the
 * node for nothing, so that these tests need no privilege and touch no network.
 */

for (const way of ['agent', 'own process'] as const)
  t.test(`relative dataDir and CNI_PATH: ${way}`, async t => {
    const folder = scratch(t);
    const [runtime, socket] = [`${folder}/runtime`, `${folder}/cni.sock`];
    mkdirSync(runtime);
    installCni({ binDir: `${runtime}/bin`, socket, standalone: true, names: ['host-local', 'macvlan'] });
    writeFileSync(`${runtime}/bin/foreign`, '#!/bin/sh\npwd >>seen\n', { mode: 0o755 });
    if (way === 'agent') {
      const agent = await serveCni(socket, testHost(), `${folder}/calls`);
      t.teardown(() => agent.close());
    }
    const exec = async (plugin: string, command: string, ipam: object, enter = `cd ${runtime}`) => {
      const config = { cniVersion: '1.0.0', name: 'net', type: plugin, ipam };
      // A value inherited from another process must not win.
      const variables = attachment(command, { CNI_PATH: 'bin', [CWD]: '/stale' });
      const words = Object.entries(variables).map(pair => pair.join('='));
      const input = `echo '${JSON.stringify(config)}'`;
      const script = `${enter} && ${input} | env ${words.join(' ')} ${runtime}/bin/${plugin}`;
      const proc = launch(['sh', '-c', script]);
      return { ...(await proc.ended), stdout: proc.stdout };
    };
    const addresses = { type: 'host-local', dataDir: 'nets', subnet: '10.1.0.0/24' };
    t.match(await exec('host-local', 'ADD', addresses), { code: 0 });
    t.ok(existsSync(`${runtime}/nets/net/10.1.0.2`));
    t.match(await exec('macvlan', 'DEL', addresses), { code: 0, stdout: '' });
    t.notOk(existsSync(`${runtime}/nets/net/10.1.0.2`), 'released by a delegate');
    t.match(await exec('macvlan', 'DEL', { type: 'foreign' }), { code: 0, stdout: '' });
    t.equal(readFileSync(`${runtime}/seen`, 'utf8'), `${runtime}\n`, 'a foreign delegate starts there');

    // A deleted directory has no path; absolute paths still work.
    const gone = `mkdir ${folder}/gone && cd ${folder}/gone && rmdir ${folder}/gone`;
    const absolute = { ...addresses, dataDir: `${runtime}/nets` };
    for (const command of ['ADD', 'CHECK', 'DEL'])
      t.match(
        await exec('host-local', command, absolute, gone),
        { code: 0 },
        `${command} in a deleted directory`,
      );
    t.notOk(existsSync(`${runtime}/nets/net/10.1.0.3`));
  });
