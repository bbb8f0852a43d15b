import { readlinkSync } from 'node:fs';
import t, { type Test } from 'tap';
import { attempt, must } from '../../../src/lab/command.ts';
import { runCommand } from '../../../src/net/command.ts';
import { changeLink, createLink, getLink, listLinks } from '../../../src/net/rtnetlink/links.ts';
import { NetlinkSocket, withSocket } from '../../../src/net/rtnetlink/socket.ts';
import { changeSysctl, readNamespaceFile, readSysctl, writeSysctl } from '../../../src/net/sysctl.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

const skip = skipUnless('root', 'netns', 'ip', 'nsenter');
const NAME = `rs-${process.pid}-90`;

/** A namespace with a name, as `ip netns` makes it, until the test ends. */
function namedNamespace(t: Test): string {
  must(['ip', 'netns', 'add', NAME]);
  t.teardown(() => must(['ip', 'netns', 'delete', NAME]));
  return `/run/netns/${NAME}`;
}

t.test('a socket in a named namespace', { skip }, async t => {
  const home = readlinkSync('/proc/self/ns/net');
  const path = namedNamespace(t);
  t.same(
    withSocket(path, socket => listLinks(socket).map(link => link.name)),
    ['lo'],
  );
  t.equal(readlinkSync('/proc/self/ns/net'), home, 'this thread stays where it was');
});

t.test('paths that lead to no namespace', { skip }, async t => {
  t.throws(() => new NetlinkSocket({ netns: '/run/netns/nowhere' }), {
    code: 'ENOENT',
    message: /\/run\/netns\/nowhere/,
  });
  t.throws(() => new NetlinkSocket({ netns: '/etc/hostname' }), {
    code: 'EINVAL',
    message: /not a network namespace/,
  });
  t.throws(() => new NetlinkSocket({ netns: '/proc/self/ns/uts' }), { code: 'EINVAL' });
});

t.test('kernel settings of a namespace', { skip }, async t => {
  const path = namedNamespace(t);
  const home = readSysctl('', 'net.ipv4.ip_forward');
  const fresh = readSysctl(path, 'net.ipv4.ip_forward');
  const other = fresh === '0' ? '1' : '0';
  t.equal(changeSysctl(path, 'net.ipv4.ip_forward', other), fresh, 'tells the former value');
  t.equal(changeSysctl(path, 'net.ipv4.ip_forward', other), undefined, 'nothing to do');
  t.equal(readSysctl('', 'net.ipv4.ip_forward'), home, "the process's own namespace is unchanged");
  t.equal(must(['ip', 'netns', 'exec', NAME, 'cat', '/proc/sys/net/ipv4/ip_forward']).trim(), other);
  withSocket(path, socket => {
    createLink(socket, { kind: 'bridge', name: 'with.dot' });
    changeLink(socket, getLink(socket, 'with.dot').index, { up: true });
  });
  writeSysctl(path, 'net/ipv6/conf/with.dot/accept_ra', '0');
  t.equal(readSysctl(path, 'net/ipv6/conf/with.dot/accept_ra'), '0');
  t.match(readNamespaceFile(path, '/proc/net/dev'), /with\.dot:/);
  t.throws(() => readSysctl(path, 'net.ipv4.no_such'), { code: 'ENOENT', message: /no_such/ });
  t.throws(() => writeSysctl(path, 'net.ipv4.ip_forward', 'perhaps'), { code: 'EINVAL' });
  for (const name of ['net/../../etc', '/etc/x', '', 'net//ipv4', 'net..ipv4'])
    t.throws(() => readSysctl(path, name), { code: 'EINVAL' }, name);
});

t.test('programs inside a namespace', { skip }, async t => {
  const netns = namedNamespace(t);
  const { stdout } = await runCommand('ip', ['-o', 'link'], { netns });
  t.equal(stdout.trim().split('\n').length, 1, 'only the loopback is there');
  const odd = '$(touch /tmp/x); `id` "quoted" \\';
  t.equal(
    (await runCommand('printf', ['%s', odd], { netns })).stdout,
    odd,
    'no shell looks at the arguments',
  );
  t.equal((await runCommand('cat', [], { netns, input: 'in' })).stdout, 'in');
  await t.rejects(runCommand('ip', ['link', 'show', 'nowhere'], { netns }), {
    code: 'ECOMMAND',
    message: /ip link show nowhere: .*does not exist/,
  });
  t.equal((await runCommand('false', [], { netns, accept: [1] })).code, 1);
  await t.rejects(runCommand('no-such-program', [], { netns }), {
    code: 'ENOENT',
    message: /no-such-program/,
  });
  await t.rejects(runCommand('no-such-program', []), { code: 'ENOENT', message: /no-such-program/ });
  await t.rejects(runCommand('sleep', ['20'], { netns, timeoutMs: 100 }), { code: 'ETIMEDOUT' });
  await t.rejects(runCommand('true', [], { netns: '/run/netns/nowhere' }), { message: /nowhere/ });
  t.equal(attempt(['ip', 'netns', 'pids', NAME]).stdout, '', 'nothing is left running');
});
