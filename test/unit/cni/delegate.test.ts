import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import t from 'tap';
import { forwardToIpam, obtainAddresses } from '../../../src/cni/delegate/addresses.ts';
import { delegate, delegateAdd } from '../../../src/cni/delegate/delegate.ts';
import { execPlugin } from '../../../src/cni/delegate/exec.ts';
import { findPlugin, isRipstopPlugin, RIPSTOP_MARK } from '../../../src/cni/delegate/find.ts';
import type { Call } from '../../../src/cni/skel/plugin.ts';
import { Undo } from '../../../src/cni/skel/undo.ts';
import { scratch, testHost } from './fixtures/harness.ts';

function callIn(directory: string, config: object = {}): Call {
  return {
    command: 'ADD',
    containerId: 'c1',
    netns: '/some/where',
    ifname: 'eth0',
    args: '',
    cwd: directory,
    path: ['/no/such/directory', directory],
    env: {
      ...process.env,
      CNI_COMMAND: 'ADD',
      CNI_CONTAINERID: 'c1',
      CNI_NETNS: '/some/where',
      CNI_IFNAME: 'eth0',
      CNI_PATH: directory,
    },
    configText: () => JSON.stringify(config),
    config: config as Record<string, unknown>,
    name: 'net',
    version: '1.0.0',
    host: testHost(),
  };
}

function double(directory: string, script: string, name = 'double'): void {
  writeFileSync(`${directory}/${name}`, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
}

t.test('the executable: first directory that has it, only bare names, ours by its trailer', async t => {
  const directory = scratch(t);
  mkdirSync(`${directory}/a`);
  mkdirSync(`${directory}/b`);
  mkdirSync(`${directory}/a/both`);
  double(`${directory}/b`, 'exit 0', 'both');
  t.equal(
    findPlugin('both', [`${directory}/a`, `${directory}/b`]),
    `${directory}/b/both`,
    'a directory is not an executable',
  );
  t.throws(() => findPlugin('none', [directory]), {
    code: 999,
    message: `failed to find plugin "none" in path [${directory}]`,
  });
  for (const type of ['../both', 'a/both', '', '.', '..']) {
    t.throws(() => findPlugin(type, [directory]), { code: 7, message: /invalid plugin name/ }, type);
  }
  t.throws(() => findPlugin('both', []), { code: 4 });
  t.notOk(isRipstopPlugin(`${directory}/b/both`));
  writeFileSync(`${directory}/small`, 'x');
  t.notOk(isRipstopPlugin(`${directory}/small`));
  writeFileSync(`${directory}/ours`, `${'x'.repeat(100)}${RIPSTOP_MARK}`);
  t.ok(isRipstopPlugin(`${directory}/ours`));
  symlinkSync(`${directory}/ours`, `${directory}/link`);
  t.ok(isRipstopPlugin(`${directory}/link`));
});

t.test("the agent takes its own plugin where it does not see the runtime's directories", async t => {
  const directory = scratch(t);
  const ipam = { type: 'static', addresses: [{ address: '10.1.0.9/24' }] };
  const call = callIn(directory, { cniVersion: '1.0.0', name: 'net', type: 'bridge', ipam });
  await t.rejects(delegateAdd(call, 'static'), { code: 999, message: /failed to find plugin/ });
  const agent = { ...call, host: { ...call.host, agent: { trouble: () => undefined } } };
  t.match((await delegateAdd(agent, 'static')).ips, [{ address: '10.1.0.9/24' }]);
  await t.rejects(delegateAdd({ ...agent, path: [] }, 'static'), { code: 4 });
  double(directory, `echo '{"ips":[{"address":"10.1.0.10/24"}]}'`, 'static');
  t.match(
    (await delegateAdd(agent, 'static')).ips,
    [{ address: '10.1.0.10/24' }],
    'what is found goes first',
  );
});

t.test('a foreign delegate sees the configuration and the environment but for the command', async t => {
  const directory = scratch(t);
  double(
    directory,
    `cat > ${directory}/stdin; env | grep ^CNI_ | sort > ${directory}/env; echo '{"cniVersion":"0.4.0","ips":[{"version":"4","address":"10.0.0.2/8"}]}'`,
  );
  const call = callIn(directory, { cniVersion: '1.0.0', name: 'net', ipam: { type: 'double' } });
  t.strictSame(
    (await delegateAdd(call, 'double')).ips,
    [{ address: '10.0.0.2/8' }],
    'a result of another version',
  );
  t.equal(readFileSync(`${directory}/stdin`, 'utf8'), call.configText());
  await delegate(call, 'double', 'DEL');
  t.match(readFileSync(`${directory}/env`, 'utf8'), /CNI_COMMAND=DEL\nCNI_CONTAINERID=c1\nCNI_IFNAME=eth0/);
  await forwardToIpam({ ...call, config: {} }, 'CHECK');
  t.match(
    readFileSync(`${directory}/env`, 'utf8'),
    /CNI_COMMAND=DEL/,
    'no address plugin, nothing to forward to',
  );
});

t.test('error of a delegate: returned unchanged; other output, reported with the exit status', async t => {
  const directory = scratch(t);
  const fails = async (script: string) => {
    double(directory, script);
    return delegateAdd(callIn(directory), 'double').then(
      () => undefined,
      error => error,
    );
  };
  t.match(await fails(`echo '{"code":11,"msg":"later","details":"soon"}'; exit 1`), {
    code: 11,
    message: 'later',
    details: 'soon',
  });
  t.match(await fails('echo trouble >&2; exit 3'), {
    code: 999,
    message: /netplugin failed with no error message: double: exit status 3: trouble/,
  });
  t.match(await fails('echo trouble; exit 1'), {
    code: 999,
    message: /its output is not a CNI error object: double: exit status 1: trouble/,
  });
  t.match(await fails('kill -9 $$'), { code: 999, message: /killed by SIGKILL/ });
  t.match(await fails('echo no json'), { code: 6, message: /result of double is not JSON/ });
  t.match(await fails(`echo '{"ips":5}'`), { code: 6, message: /result of double\.ips/ });
  t.match(await fails('exec 0<&-; exit 1'), { code: 999 }, 'one that does not read its input');
  writeFileSync(`${directory}/double`, 'no program', { mode: 0o644 });
  t.match(await delegateAdd(callIn(directory), 'double').catch(error => error), {
    code: 999,
    message: /double: /,
  });
});

t.test('addresses are given back when a later step fails, not when the ADD itself was refused', async t => {
  const directory = scratch(t);
  double(
    directory,
    `echo $CNI_COMMAND >> ${directory}/calls; [ $CNI_COMMAND = DEL ] || echo '{"ips":[{"address":"10.0.0.2/8"}]}'`,
  );
  const call = callIn(directory, { ipam: { type: 'double' } });
  const lines: string[] = [];
  const later = Undo.guard(
    line => void lines.push(line),
    async undo => {
      await obtainAddresses(call, 'double', undo);
      undo.push('do the impossible', () => {
        throw new Error('no');
      });
      throw new Error('a later step');
    },
  );
  await t.rejects(later, { message: 'a later step' });
  t.equal(readFileSync(`${directory}/calls`, 'utf8'), 'ADD\nDEL\n');
  t.strictSame(
    lines,
    ['undo: could not do the impossible: no'],
    'a reverse that fails keeps no other from running',
  );
  double(directory, `echo $CNI_COMMAND >> ${directory}/calls; echo '{"code":7,"msg":"refused"}'; exit 1`);
  await t.rejects(
    Undo.guard(
      () => {},
      undo => obtainAddresses(call, 'double', undo),
    ),
    { code: 7 },
  );
  t.equal(readFileSync(`${directory}/calls`, 'utf8'), 'ADD\nDEL\nADD\n');
  double(directory, `echo '{"ips":[]}'`);
  await t.rejects(
    Undo.guard(
      () => {},
      undo => obtainAddresses(call, 'double', undo),
    ),
    { message: /missing IP config/ },
  );
});

t.test(
  'a foreign delegate that hangs, with a child that keeps its output open: killed, code 999',
  async t => {
    const directory = scratch(t);
    double(directory, `sleep 1000 & echo $! >${directory}/child; wait`);
    await t.rejects(
      execPlugin(
        `${directory}/double`,
        directory,
        process.env as Record<string, string>,
        '{}',
        () => {},
        500,
      ),
      { code: 999, message: /double: not finished after 0\.5 s, killed/ },
    );
    process.kill(Number(readFileSync(`${directory}/child`, 'utf8')));
  },
);
