import { writeFileSync } from 'node:fs';
import t from 'tap';
import type { Namespace } from '../../../src/lab/namespace.ts';
import type { Node } from '../../../src/lab/topology.ts';
import { until } from '../../../src/lab/until.ts';
import { agentsFor, fileStoreFor } from '../../fixtures/agents/agents.ts';
import { DEVICE } from '../../fixtures/agents/overlay.ts';
import { configurationOf, runReady } from '../../fixtures/agents/run-node.ts';
import { compiled } from '../../fixtures/compile.ts';
import { labFor } from '../../fixtures/lab.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

/*
 * The overlay device belongs to CAP_NET_ADMIN. A host whose tun character device has mode 0666, as udev's default rules
 * set it, is made in a mount namespace of the process that tries.
 */

const SKIP = { skip: skipUnless('root', 'netns', 'tun', 'nft', 'setpriv', 'cc') };

/** linux/if_tun.h */
const [IFF_TUN, IFF_TAP, IFF_MULTI_QUEUE, IFF_NO_PI, IFF_VNET_HDR] = [0x1, 0x2, 0x100, 0x1000, 0x4000];
const MODES = ['vxlan', 'udp'] as const;
const KIND = { vxlan: IFF_TAP, udp: IFF_TUN } as const;

const OPEN_NODE = 'mount -t tmpfs none /dev/net && mknod -m 666 /dev/net/tun c 10 200 && exec "$@"';

/** uid 65534, and root of a container without capabilities. */
const USERS = [
  ['--reuid=65534', '--regid=65534', '--clear-groups'],
  ['--reuid=0', '--regid=0', '--clear-groups'],
];

/** What TUNSETIFF answers to each user without capabilities. */
function attempts(ns: Namespace, mode: 'vxlan' | 'udp', more = 0): string[] {
  const flags = KIND[mode] | IFF_NO_PI | IFF_VNET_HDR | more;
  const attach = [compiled('attach'), DEVICE[mode], String(flags)];
  const bare = ['--bounding-set=-all', '--inh-caps=-all', '--no-new-privs'];
  return USERS.map(user => {
    const command = ['setpriv', ...user, ...bare, ...attach];
    const tried = ns.attempt(['unshare', '--mount', 'sh', '-c', OPEN_NODE, 'sh', ...command]);
    return `${tried.stdout}${tried.stderr}`.trim();
  });
}

const REFUSED = USERS.map(() => 'TUNSETIFF EPERM');

for (const mode of MODES) {
  t.test(`${mode}: an unprivileged process attaches to the agent's device, refused`, SKIP, async t => {
    const lab = labFor(t);
    const store = fileStoreFor(t, { Backend: { Type: mode } });
    const { agents } = agentsFor(t, lab, store.flags);
    const [one, two] = lab.nodes as [Node, Node];
    // What a previous run without an owner left: anybody could take it.
    one.ns.ip(`tuntap add ${DEVICE[mode]} mode ${mode === 'vxlan' ? 'tap' : 'tun'} vnet_hdr`);
    t.strictSame(
      attempts(one.ns, mode),
      USERS.map(() => 'attached'),
      'the attempt itself is valid',
    );
    for (const agent of agents) {
      agent.rememberSubnet();
      agent.start();
    }
    await Promise.all(agents.map(agent => agent.ready(1)));
    for (const { ns } of lab.nodes) t.strictSame(attempts(ns, mode), REFUSED, 'while the agent runs');

    await agents[0]!.stop();
    t.strictSame(attempts(one.ns, mode), REFUSED, 'while only the persistent device is left');
    await agents[1]!.stop('SIGKILL');
    t.strictSame(attempts(two.ns, mode), REFUSED, 'after the agent was killed');
    for (const agent of agents) agent.start();
    await Promise.all(agents.map(agent => agent.ready(1)));
    const ping = ['ping', '-c1', '-W1', two.pods[0]!.address[4]];
    await until('traffic', () => one.pods[0]!.ns.attempt(ping).code === 0);
  });

  t.test(`${mode}: an unprivileged process attaches to a queue of ripstop run, refused`, SKIP, async t => {
    const lab = labFor(t, { podsPerNode: 0 });
    const [one, two] = lab.nodes as [Node, Node];
    const file = `${t.testdir()}/node.yaml`;
    writeFileSync(file, JSON.stringify({ ...configurationOf(one, [two]), mode, workers: 2 }));
    const proc = await runReady(one.ns, file);
    t.strictSame(attempts(one.ns, mode, IFF_MULTI_QUEUE), REFUSED);
    t.match(await proc.stop(), { code: 0 });
  });
}
