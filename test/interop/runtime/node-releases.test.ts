import t from 'tap';
import { CHECKOUT } from '../../../bench/lab/tool.ts';
import { launch } from '../../../src/lab/proc.ts';
import { compileRawSocket, fetchNode, otherReleases } from '../../fixtures/runtime/node-releases.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

/*
 * A part of everything that depends on Node, on each supported major version but the one that runs the other tests. `tap` itself
 * runs it there.
 */

const skip = skipUnless('root', 'netns', 'tun', 'CAP_SYS_ADMIN', 'npm', 'tar', 'ip', 'ping', 'nft');
const PROGRAM = `${CHECKOUT}dist/test/fixtures/runtime/smoke-program.js`;
const RAW_SOCKET = `${CHECKOUT}node_modules/raw-socket/build/Release/raw.node`;
/** The tests of the program, with one for each part. */
const PARTS = [
  'addon, ip-address',
  'workers under traffic, node-tuntap2',
  'probes, raw-socket',
  'web UI',
  'pcap-parser',
  'overlay',
  'CNI executable',
  'benchmark',
];

for (const version of otherReleases()) {
  const node = skip || (await fetchNode(version));
  t.test(`Node ${version}`, { skip: typeof node === 'string' && node }, async t => {
    if (typeof node === 'string') return;
    const compiled = await compileRawSocket(node);
    const sockets = 'addon' in compiled ? 'raw-socket' : 'addon';
    if ('fault' in compiled)
      t.comment(`raw-socket cannot be compiled for Node ${version}: ${compiled.fault}`);
    // The addon of raw-socket in this checkout is for the Node that runs this test.
    const mount = 'addon' in compiled ? `mount --bind ${compiled.addon} ${RAW_SOCKET} && ` : '';
    const command = ['sh', '-c', `${mount}exec "$@"`, 'sh', node.program, PROGRAM, sockets];
    const env = { NODE_OPTIONS: '', TAP_TIMEOUT: '600' };
    const smoke = launch(['unshare', '--mount', '--propagation=slave', ...command], { env });
    const { code } = await smoke.ended;
    const passed = [...smoke.stdout.matchAll(/^ *ok \d+ - (.*?)(?: # .*)?$/gm)].map(match => match[1]);
    t.same(
      PARTS.filter(part => !passed.includes(part)),
      [],
      'every part passed',
    );
    t.equal(code, 0);
    if (code !== 0) for (const line of `${smoke.stdout}\n${smoke.stderr}`.split('\n')) t.comment(line);
  });
}
