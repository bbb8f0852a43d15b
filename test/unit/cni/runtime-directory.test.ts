import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import t from 'tap';
import { launch } from '../../../bench/lab/proc.ts';
import { installCni } from '../../../src/cni/install.ts';
import { serveCni } from '../../../src/cni/shim/serve.ts';
import { attachment, scratch, testHost } from './fixtures/harness.ts';

/*
 * Relative paths start at the working directory of the runtime, as with the reference plugins, also when another process,
 * the agent, works on the call.
 */

for (const way of ['agent', 'own process'] as const)
  t.test(`relative dataDir and CNI_PATH: ${way}`, async t => {
    const folder = scratch(t);
    const [runtime, socket] = [`${folder}/runtime`, `${folder}/cni.sock`];
    mkdirSync(runtime);
    installCni({ binDir: `${runtime}/bin`, socket, standalone: true, names: ['host-local', 'bridge'] });
    writeFileSync(`${runtime}/bin/foreign`, '#!/bin/sh\npwd >>seen\n', { mode: 0o755 });
    if (way === 'agent') {
      const agent = await serveCni(socket, testHost(), `${folder}/calls`);
      t.teardown(() => agent.close());
    }
    const exec = async (plugin: string, command: string, ipam: object) => {
      const config = { cniVersion: '1.0.0', name: 'net', type: plugin, ipam };
      const words = Object.entries(attachment(command, { CNI_PATH: 'bin' })).map(pair => pair.join('='));
      const script = `cd ${runtime} && echo '${JSON.stringify(config)}' | env ${words.join(' ')} bin/${plugin}`;
      const proc = launch(['sh', '-c', script]);
      return { ...(await proc.ended), stdout: proc.stdout };
    };
    const addresses = { type: 'host-local', dataDir: 'nets', subnet: '10.1.0.0/24' };
    t.match(await exec('host-local', 'ADD', addresses), { code: 0 });
    t.ok(existsSync(`${runtime}/nets/net/10.1.0.2`));
    t.match(await exec('bridge', 'DEL', addresses), { code: 0, stdout: '' });
    t.notOk(existsSync(`${runtime}/nets/net/10.1.0.2`), 'released by a delegate');
    t.match(await exec('bridge', 'DEL', { type: 'foreign' }), { code: 0, stdout: '' });
    t.equal(readFileSync(`${runtime}/seen`, 'utf8'), `${runtime}\n`, 'a foreign delegate starts there');
  });
