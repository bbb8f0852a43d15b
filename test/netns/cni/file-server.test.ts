import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { fileSystemAnswers } from '../../../src/base/files/regular-file.ts';
import { attempt } from '../../../src/lab/command.ts';
import { launch } from '../../../src/lab/proc.ts';
import { CniNode } from '../../fixtures/cni/cni.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

const skip = skipUnless('root', 'netns', 'CAP_SYS_ADMIN', 'bash', 'mount', '/dev/fuse');

/** Mounts a file system without a server: every call on it waits, as with a file server that is away. */
async function deadFileSystem(t: Test) {
  const directory = mkdtempSync(join(tmpdir(), 'rs-dead-'));
  const script = `exec 3<>/dev/fuse
    mount -i -t fuse -o fd=3,rootmode=40000,user_id=0,group_id=0 none ${directory} && echo mounted
    exec sleep infinity`;
  const holder = launch(['bash', '-c', script]);
  const end = async () => {
    // Without its last descriptor the kernel ends the connection, and with it every wait.
    await holder.stop('SIGKILL').catch(() => {});
    attempt(['umount', '-l', directory]);
    rmSync(directory, { recursive: true, force: true });
  };
  t.teardown(end);
  await holder.saying(/mounted/);
  return { directory, end };
}

t.test(
  'files on a file server that is away (H9): each call ends with code 11, and others go on',
  { skip },
  async t => {
    const lab = new CniNode(t);
    const pod = lab.pod(t);
    const { directory, end } = await deadFileSystem(t);
    const network = { cniVersion: '1.1.0', name: 'net' };
    const ipam = { type: 'host-local', subnet: '10.1.0.0/24' };
    const good = { ...network, type: 'host-local', ipam: lab.ipam() };
    const calls = {
      addresses: ['DEL', { ...network, type: 'host-local', ipam: { ...ipam, dataDir: directory } }],
      resolvConf: ['ADD', { ...good, ipam: lab.ipam({ ...ipam, resolvConf: `${directory}/resolv.conf` }) }],
      tuning: ['DEL', { ...network, type: 'tuning', dataDir: `${directory}/tuning` }],
    } as const;
    let ticks = 0;
    const timer = setInterval(() => ticks++, 50);
    const waiting = Object.entries(calls).map(async ([name, [command, config]]) => ({
      name,
      json: (await lab.call(command, config, { pod })).json,
    }));
    t.match((await lab.call('ADD', good, { pod, id: 'other' })).json, { ips: [{ address: '10.1.0.2/24' }] });
    for (const { name, json } of await Promise.all(waiting))
      t.match(json, { code: 11, msg: /the file system of .* has not answered within 10 s/ }, name);
    clearInterval(timer);
    t.ok(ticks > 20, `the thread was free: ${ticks} ticks`);
    await t.rejects(fileSystemAnswers(`${directory}/net`, 10), { code: 'EAGAIN' }, 'the same question again');
    await end();
    await fileSystemAnswers(`${directory}/net`);
  },
);

t.test('FIFOs in place of files (H9): no call waits for them', { skip }, async t => {
  const lab = new CniNode(t);
  const pod = lab.pod(t);
  const fifo = join(lab.scratch, 'fifo');
  execFileSync('mkfifo', [fifo]);
  const network = { cniVersion: '1.1.0', name: 'net' };
  const debug = { ...network, type: 'debug', cniOutput: fifo };
  t.equal((await lab.call('ADD', debug, { pod })).status, 0);
  t.match(lab.log.join('\n'), /debug: .*fifo is not a regular file/);
  const flannel = { ...network, type: 'flannel', subnetFile: fifo, dataDir: join(lab.scratch, 'flannel') };
  t.match((await lab.call('ADD', flannel, { pod })).json, { code: 11, msg: /fifo is not a regular file/ });
  t.match((await lab.call('STATUS', flannel)).json, { code: 50, msg: /fifo is not a regular file/ });
  mkdirSync(flannel.dataDir);
  const dataDir = join(lab.scratch, 'tuning');
  mkdirSync(dataDir);
  for (const file of [`${flannel.dataDir}/c1`, `${dataDir}/c1_eth0.json`]) execFileSync('mkfifo', [file]);
  t.equal((await lab.call('DEL', flannel, { pod })).text, '');
  const tuning = { ...network, type: 'tuning', dataDir };
  t.equal((await lab.call('GC', { ...tuning, 'cni.dev/valid-attachments': [] })).text, '');
  t.equal((await lab.call('DEL', tuning, { pod })).text, '');
});
