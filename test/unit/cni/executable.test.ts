import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import t from 'tap';
import { CHECKOUT } from '../../../bench/lab/tool.ts';
import { CONF_NAME, installCni } from '../../../src/cni/install.ts';
import { serveCni } from '../../../src/cni/shim/serve.ts';
import { CWD } from '../../../src/cni/skel/environment.ts';
import { attempt } from '../../../src/lab/command.ts';
import { launch } from '../../../src/lab/proc.ts';
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

/* What a call costs in a process of its own, in what Node loads for it: times depend on the machine. */

const CONFIG = { cniVersion: '1.0.0', name: 'net', type: 'portmap', prevResult: { ips: [], dns: {} } };

t.test('the compile cache fits this Node, and a call without host ports loads no slow module', async t => {
  const folder = scratch(t);
  writeFileSync(
    `${folder}/observe.cjs`,
    `const fs = require('node:fs');
     const vm = require('node:vm');
     const script = vm.Script;
     vm.Script = class extends script {
       constructor(...given) {
         super(...given);
         fs.writeSync(2, 'rejected: ' + this.cachedDataRejected + '\\n');
       }
     };
     process.on('exit', () => fs.writeSync(2, process.moduleLoadList.join('\\n')));`,
  );
  const argv = [process.execPath, '--require', `${folder}/observe.cjs`, `${CHECKOUT}dist/cni/launch.cjs`];
  const env = Object.entries(attachment('ADD', { CNI_NETNS: '/proc/1/ns/net', CNI_NETNS_OVERRIDE: '1' }));
  const words = env.map(pair => pair.join('='));
  const proc = launch(['env', ...words, ...argv, 'portmap'], { input: JSON.stringify(CONFIG) });
  await proc.ended;
  t.match(proc.stdout, /"cniVersion": "1\.0\.0"/);
  t.match(proc.stderr, /^rejected: false$/m);
  t.match(proc.stderr, /^NativeModule vm$/m, 'the list of modules is there');
  for (const name of ['crypto', 'child_process', 'net', 'http'])
    t.notMatch(proc.stderr, new RegExp(`^NativeModule ${name}$`, 'm'), name);
});

t.test('certificates of other programs are read only if a collector may need them', async t => {
  const binDir = `${scratch(t)}/bin`;
  installCni({ binDir, socket: '/no/such/socket', standalone: true, names: ['static'] });
  const warned = async (env: Record<string, string>) => {
    const variables = attachment('DEL', { NODE_EXTRA_CA_CERTS: '/no/such/file', ...env });
    const words = Object.entries(variables).map(pair => pair.join('='));
    const proc = launch(['env', ...words, `${binDir}/static`], { input: JSON.stringify(CONFIG) });
    t.match(await proc.ended, { code: 0 });
    return proc.stderr.includes('extra certs');
  };
  t.notOk(await warned({}));
  t.ok(await warned({ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:9' }));
  t.ok(await warned({ OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'http://127.0.0.1:9' }));
});

t.test('cni install --conf installs a list of the site, and refuses what no runtime can use', async t => {
  const folder = scratch(t);
  const conf = `${folder}/site.conflist`;
  const program = `${CHECKOUT}dist/src/cli/main.js`;
  const where = [`--bin-dir=${folder}/bin`, `--conf-dir=${folder}/net.d`];
  const install = (text: string) => {
    writeFileSync(conf, text);
    return attempt([process.execPath, program, 'cni', 'install', ...where, `--conf=${conf}`]);
  };
  for (const [text, error] of [
    ['{', /site\.conflist is not JSON/],
    ['{"name":"x"}', /site\.conflist\.plugins: is missing/],
    ['{"name":"x","plugins":[]}', /site\.conflist\.plugins: is empty/],
    ['{"name":"x","plugins":[{"type":"a/b"}]}', /plugins\[0\]\.type: "a\/b" is not a name/],
    ['{"plugins":[{"type":"ptp"}]}', /site\.conflist\.name: is missing/],
  ] as const) {
    const { code, stderr } = install(text);
    t.equal(code, 2, text);
    t.match(stderr, error);
  }
  t.notOk(existsSync(`${folder}/bin`), 'nothing is installed with a bad list');
  const list =
    '{"cniVersion":"1.0.0","name":"cbr0","plugins":[{"type":"flannel","delegate":{"mtu":1400}}]}\n';
  t.match(install(list), { code: 0, stderr: '' });
  t.equal(readFileSync(`${folder}/net.d/${CONF_NAME}`, 'utf8'), list, 'as it was given');
});
