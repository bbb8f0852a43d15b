import t from 'tap';
import { CWD, readEnvironment } from '../../../src/cni/skel/environment.ts';
import { CniError } from '../../../src/cni/skel/errors.ts';
import type { NamespaceProbe } from '../../../src/cni/skel/namespace.ts';
import type { Call, Plugin } from '../../../src/cni/skel/plugin.ts';
import { ALL_VERSIONS } from '../../../src/cni/skel/version.ts';
import { attachment, invoke, testHost } from './fixtures/harness.ts';

const seen: string[] = [];
let fault: unknown;

function note(call: Call): void {
  seen.push(`${call.command} ${call.containerId} ${call.ifname} ${call.version}`);
  if (fault) throw fault;
}

function plugin(changes: Partial<Plugin> = {}): Plugin {
  return {
    name: 'noop',
    usesNamespace: false,
    add: async call => {
      note(call);
      return { interfaces: [{ name: 'x' }], ips: [{ address: '10.0.0.2/24' }], routes: [], dns: {} };
    },
    del: async call => note(call),
    check: async call => note(call),
    gc: async call => note(call),
    status: async call => note(call),
    ...changes,
  };
}

t.beforeEach(() => {
  seen.length = 0;
  fault = undefined;
});

t.test('every command reaches its handler in every version that has it', async t => {
  const since: Record<string, number> = { ADD: 0, DEL: 0, CHECK: 4, GC: 6, STATUS: 6 };
  for (const [command, first] of Object.entries(since)) {
    for (const [index, version] of ALL_VERSIONS.entries()) {
      seen.length = 0;
      const answer = await invoke(plugin(), attachment(command), { cniVersion: version, name: 'net' });
      if (index >= first) {
        t.equal(answer.status, 0, `${command} ${version}`);
        t.strictSame(seen, [`${command} c1 eth0 ${version}`]);
        if (command === 'ADD') t.equal(answer.json.cniVersion, version);
        else t.equal(answer.text, '', `${command} prints nothing`);
      } else {
        t.equal(answer.status, 1);
        t.match(answer.json, {
          cniVersion: version,
          code: 1,
          msg: `config version does not allow ${command}`,
        });
        t.strictSame(seen, [], 'the handler is not called');
      }
    }
  }
});

t.test('one error names every missing variable, a command at a time', async t => {
  const bare = (command: string) => invoke(plugin(), { CNI_COMMAND: command }, { name: 'net' });
  const wanted: Record<string, string> = {
    ADD: 'CNI_CONTAINERID,CNI_NETNS,CNI_IFNAME,CNI_PATH',
    DEL: 'CNI_CONTAINERID,CNI_IFNAME,CNI_PATH',
    CHECK: 'CNI_CONTAINERID,CNI_NETNS,CNI_IFNAME,CNI_PATH',
    GC: 'CNI_PATH',
    STATUS: 'CNI_PATH',
  };
  for (const [command, list] of Object.entries(wanted)) {
    const { status, json } = await bare(command);
    t.equal(status, 1);
    t.match(json, { code: 4, msg: `required env variables [${list}] missing` }, command);
  }
});

t.test('without a working directory of the runtime, relative paths start at the root', t => {
  const of = (env: NodeJS.ProcessEnv) => readEnvironment(attachment('ADD', { CNI_PATH: 'bin:/opt', ...env }));
  t.match(of({ [CWD]: '/here' }), { cwd: '/here', path: ['/here/bin', '/opt'] });
  for (const env of [{}, { [CWD]: '' }]) t.match(of(env), { cwd: '/', path: ['/bin', '/opt'] });
  t.end();
});

t.test('bad parameters have their codes and leave nothing done', async t => {
  const ok = { cniVersion: '1.0.0', name: 'net' };
  const cases: [string, NodeJS.ProcessEnv, unknown, number, string | RegExp][] = [
    ['unknown command', { CNI_COMMAND: 'FOO' }, ok, 4, 'unknown CNI_COMMAND: FOO'],
    ['lower case command', { CNI_COMMAND: 'add' }, ok, 4, 'unknown CNI_COMMAND: add'],
    ['path in the id', { CNI_CONTAINERID: '../x' }, ok, 4, 'invalid characters in containerID'],
    ['id with a blank', { CNI_CONTAINERID: 'a b' }, ok, 4, 'invalid characters in containerID'],
    ['long name', { CNI_IFNAME: 'eth0eth0eth0eth0' }, ok, 4, 'interface name is too long'],
    ['15 bytes, 8 characters', { CNI_IFNAME: 'ééééééé-é' }, ok, 4, 'interface name is too long'],
    ['dot dot', { CNI_IFNAME: '..' }, ok, 4, 'interface name is . or ..'],
    ['slash', { CNI_IFNAME: 'a/b' }, ok, 4, /contains \/ or :/],
    ['colon', { CNI_IFNAME: 'a:b' }, ok, 4, /contains \/ or :/],
    ['blank', { CNI_IFNAME: 'a b' }, ok, 4, /contains \/ or :/],
    ['not JSON', {}, '{"name":', 6, /error unmarshall network config/],
    ['a list', {}, '[]', 6, /configuration: must be an object/],
    ['nothing', {}, '', 6, /error unmarshall network config/],
    ['no name', {}, { cniVersion: '1.0.0' }, 7, 'missing network name'],
    ['bad name', {}, { cniVersion: '1.0.0', name: 'a/../b' }, 7, 'invalid characters found in network name'],
    [
      'a name that is a number',
      {},
      { cniVersion: '1.0.0', name: 5 },
      7,
      'invalid characters found in network name',
    ],
    ['future version', {}, { cniVersion: '2.0.0', name: 'net' }, 1, 'incompatible CNI versions'],
    ['version of a wrong type', {}, { cniVersion: 1, name: 'net' }, 6, /cniVersion: 1 is not a text/],
  ];
  for (const [what, env, config, code, msg] of cases) {
    const answer = await invoke(plugin(), attachment('ADD', env), config);
    t.equal(answer.status, 1, what);
    t.match(answer.json, { code, msg }, what);
  }
  t.strictSame(seen, []);
  const { json } = await invoke(plugin(), attachment('ADD', { CNI_IFNAME: 'eth/0' }), ok);
  t.match(json, { details: 'invalid character "/" in "eth/0"' });
});

t.test('a version that is not known is refused by name; no version means the oldest', async t => {
  const answer = await invoke(plugin(), attachment('ADD'), { cniVersion: '0.5.0', name: 'net' });
  t.match(answer.json, {
    code: 1,
    details: /^config is "0\.5\.0", plugin supports \["0\.1\.0" .* "1\.1\.0"\]$/,
  });
  await invoke(plugin(), attachment('ADD'), { name: 'net' });
  t.strictSame(seen, ['ADD c1 eth0 0.1.0']);
});

t.test('VERSION and a start from a shell: standard input is not read', async t => {
  const streams = { CNI_COMMAND: 'VERSION' };
  const version = await invoke(plugin(), streams, 'not read');
  t.equal(version.status, 0);
  t.strictSame(version.json, { cniVersion: '1.1.0', supportedVersions: [...ALL_VERSIONS] });
  const fromShell = await invoke(plugin(), {}, 'not read');
  t.equal(fromShell.status, 0);
  t.equal(fromShell.text, '');
  t.equal(
    fromShell.stderr,
    `CNI noop plugin of Ripstop\nCNI protocol versions supported: ${ALL_VERSIONS.join(', ')}\n`,
  );
});

t.test('the namespace is looked at before anything is touched', async t => {
  const identity = (inode: bigint) => ({ device: 4n, inode, born: 0n });
  const probe: NamespaceProbe = {
    identify(path) {
      if (path === '/proc/self/ns/net' || path === '/run/netns/own') return identity(1n);
      return path === '/run/netns/pod' ? identity(2n) : undefined;
    },
  };
  const host = { ...testHost(), namespaces: probe };
  const call = (command: string, netns: string, entered: boolean, more: NodeJS.ProcessEnv = {}) =>
    invoke(
      plugin({ usesNamespace: entered }),
      attachment(command, { CNI_NETNS: netns, ...more }),
      { cniVersion: '1.1.0', name: 'net' },
      host,
    );
  for (const command of ['ADD', 'DEL']) {
    t.match((await call(command, '/run/netns/own', true)).json, { code: 8 }, command);
    t.match((await call(command, '/run/netns/own', false)).json, { code: 8 });
  }
  t.strictSame(seen, [], 'refused before the handler');
  for (const yes of ['1', 'true', 'TRUE', 't']) {
    t.equal((await call('ADD', '/run/netns/own', true, { CNI_NETNS_OVERRIDE: yes })).status, 0, yes);
  }
  t.match((await call('ADD', '/run/netns/own', true, { CNI_NETNS_OVERRIDE: '0' })).json, { code: 8 });
  seen.length = 0;
  for (const command of ['ADD', 'CHECK']) {
    const { json } = await call(command, '/etc/passwd', true);
    t.match(json, { code: 4, msg: 'CNI_NETNS: "/etc/passwd" is not a network namespace' }, command);
  }
  t.strictSame(seen, []);
  t.equal(
    (await call('DEL', '/etc/passwd', true)).status,
    0,
    'DEL with a path that is no namespace any more',
  );
  t.equal((await call('ADD', '/nowhere', false)).status, 0, 'an address plugin does not need it');
  t.equal((await call('ADD', '/run/netns/pod', true)).status, 0);
});

t.test('errors of handlers keep their code and carry the version', async t => {
  const config = { cniVersion: '0.4.0', name: 'net' };
  fault = new CniError(11, 'not yet', 'the agent is starting');
  const known = await invoke(plugin(), attachment('ADD'), config);
  t.strictSame(known.json, {
    cniVersion: '0.4.0',
    code: 11,
    msg: 'not yet',
    details: 'the agent is starting',
  });
  fault = new Error('broken');
  t.strictSame((await invoke(plugin(), attachment('ADD'), config)).json, {
    cniVersion: '0.4.0',
    code: 999,
    msg: 'broken',
  });
  const streams = {
    env: attachment('ADD'),
    stdin: () => {
      throw new Error('EIO');
    },
    stdout: (text: string) => t.match(JSON.parse(text), { code: 5, msg: 'error reading from stdin: EIO' }),
    stderr: () => {},
  };
  const { run } = await import('../../../src/cni/skel/run.ts');
  t.equal(await run(plugin(), streams, testHost()), 1);
});
