import t from 'tap';
import type { Agent } from '../../../src/agent/agent.ts';
import type { Lease } from '../../../src/agent/lease/lease.ts';
import type { Overlay } from '../../../src/agent/overlay/overlay.ts';
import type { Prober } from '../../../src/agent/probe/prober.ts';
import { checkConfig } from '../../../src/diagnose/doctor/config-check.ts';
import { diagnose } from '../../../src/diagnose/doctor/doctor.ts';
import { leaseFindings } from '../../../src/diagnose/doctor/lease-faults.ts';
import { examinePeers } from '../../../src/diagnose/doctor/peer-checks.ts';
import type { DropCounters, WayBack } from '../../../src/diagnose/doctor/silence.ts';
import { requirePrefix } from '../../../src/ip/prefix.ts';

const peer = (n: number, node?: string) => ({
  ...{ id: `10.244.${n}.0-24`, node, address: `192.0.2.${n}`, mac: undefined },
  subnets: [requirePrefix(`10.244.${n}.0/24`)],
});

/** The findings about peers of which some answer, some send packets, and some were never reached. */
async function findingsFor(
  peers: readonly ReturnType<typeof peer>[],
  {
    answering = [],
    sending = [],
    never = [],
    onUnderlay = [],
    growing = [],
    way = {},
  }: Partial<Record<'answering' | 'onUnderlay' | 'sending' | 'never', readonly number[]>> & {
    /** Counters of this node that grow with each echo. */
    growing?: readonly (keyof DropCounters)[];
    way?: Partial<WayBack>;
  },
) {
  let samples = 0;
  const frames = (n: number) => (sending.includes(n) ? samples * 100 : 0);
  const overlay = {
    plan: { device: 'flannel.1', mode: 'vxlan', mtu: 1450 },
    peers,
    recentDrops: () => ({}),
    counters: () => {
      samples++;
      return {
        peers: Object.fromEntries(
          peers.map((each, at) => [each.id, { ingress: { frames: frames(at), bytes: 0 } }]),
        ),
      };
    },
  } as unknown as Overlay;
  const isAnswering = (address: string) =>
    [...answering, ...onUnderlay].some(at => address === peers[at]?.address);
  const inTunnel = (address: string) =>
    answering.some(at => address === peers[at]?.address.replace(/^192\.0\.2\.(\d+)$/, '10.244.$1.0'));
  const prober = {
    echo: async (address: string) => (isAnswering(address) || inTunnel(address) ? 1 : undefined),
    probePathMtu: async () => 1500,
  } as unknown as Prober;
  const probes = {
    isHeard: () => false,
    wasNeverReached: (_device: string | undefined, { id }: { id: string }) =>
      never.some(at => peers[at]?.id === id),
  };
  const counters = { checksum: 0, receiveQueue: 0, tunnelSocket: 0, deviceQueue: 0, reversePath: 0 };
  let refused = 0;
  const local = {
    counters: () => ({ ...counters, refused: { 'spoofed-source': refused } }),
    wayTo: () => ({ link: 'flannel.1', filter: 0, ...way }),
  };
  const echo = prober.echo;
  const countingProber = {
    ...prober,
    echo: async (address: string, ...more: [number, number]) => {
      for (const name of growing)
        if (name === 'refused') refused++;
        else counters[name]++;
      return echo(address, ...more);
    },
  } as unknown as Prober;
  const { findings, well } = await examinePeers({
    ...{ overlay, underlayMtu: 1500, prober: countingProber, probes, local },
  });
  return { kinds: findings.map(({ severity, kind }) => `${severity} ${kind}`), well };
}

t.test('silence of a peer is judged by what else is known of it (J11)', async t => {
  const peers = [peer(2), peer(3, 'n3/boot')];
  t.same(await findingsFor(peers, { answering: [0, 1] }), { kinds: [], well: 2 });
  t.same(await findingsFor(peers, { answering: [1] }), { kinds: ['fault underlay-blocked'], well: 1 });
  t.same(
    await findingsFor(peers, { answering: [1], sending: [0] }),
    { kinds: ['warning icmp-filtered'], well: 1 },
    'its packets arrive',
  );
  t.same(
    await findingsFor(peers, { answering: [1], never: [0] }),
    { kinds: ['warning peer-absent'], well: 1 },
    'a lease that its node has left, or a reservation',
  );
  t.same(
    await findingsFor(peers, { answering: [0], never: [1] }),
    { kinds: ['fault underlay-blocked'], well: 1 },
    'the store says that the node is alive',
  );
  t.same(
    await findingsFor(peers, { never: [0] }),
    { kinds: ['fault underlay-blocked', 'fault underlay-blocked'], well: 0 },
    'no peer answers: the underlay of this node is the first suspect',
  );
});

t.test('a silent tunnel is named after the counter that grows with the probes (F8, F10)', async t => {
  const peers = [peer(2, 'n2/boot')];
  const silent = async (more: Parameters<typeof findingsFor>[1]) =>
    (await findingsFor(peers, { onUnderlay: [0], ...more })).kinds.join();
  t.equal(await silent({}), 'fault port-filtered');
  t.equal(await silent({ growing: ['checksum', 'tunnelSocket'] }), 'fault checksum-broken');
  t.equal(await silent({ growing: ['checksum'] }), 'fault port-filtered', 'of another socket');
  t.equal(await silent({ growing: ['receiveQueue', 'tunnelSocket'] }), 'fault queue-full');
  t.equal(await silent({ growing: ['deviceQueue'] }), 'fault queue-full');
  t.equal(await silent({ growing: ['reversePath'] }), 'fault reverse-path-filter');
  t.equal(await silent({ growing: ['refused'] }), 'fault stale-identity');
  t.equal(await silent({ way: { link: 'eth0' } }), 'fault route-diverted');
  t.equal(await silent({ way: { link: 'eth0', filter: 1 } }), 'fault reverse-path-filter');
  t.same(
    await findingsFor(peers, { growing: ['reversePath'] }),
    { kinds: ['fault reverse-path-filter'], well: 0 },
    'the underlay as well',
  );
});

const lease = (n: number, backendType: string, expiresAt: number | undefined): Lease => ({
  key: `10.244.${n}.0-24`,
  v4: requirePrefix(`10.244.${n}.0/24`),
  v6: undefined,
  attributes: {
    publicIp: `192.0.2.${n}`,
    publicIpv6: undefined,
    backendType,
    backendData: undefined,
    backendV6Data: undefined,
  },
  expiresAt,
  node: undefined,
});

t.test('a reservation does not hide that all other nodes have another backend (J11)', async t => {
  const others = [3, 4].map(n => lease(n, '', undefined));
  const findings = leaseFindings({
    backend: 'vxlan',
    leases: [lease(1, 'vxlan', undefined), lease(2, '', 0), ...others],
    rejected: others.map(({ key }) => ({ key, reason: 'other-backend', message: 'has backend udp' })),
    unreadable: new Map(),
  });
  t.match(findings[0], { kind: 'backend-differs', what: /backend udp/ });
});

t.test('without an overlay the doctor names what it could not check (A26)', async t => {
  const agent = {
    readiness: { reasons: () => ['the overlay is being started'] },
    faults: {},
    lease: { failing: new Map() },
    watch: {},
    endpoints: { states: [] },
    uncaught: { count: 0 },
    options: { netns: '' },
    store: { networkConfig: async () => ({ text: '{}', source: 'x' }) },
  } as unknown as Agent;
  const { findings, inOrder } = await diagnose(agent);
  t.match(
    findings.find(({ kind }) => kind === 'skipped'),
    { what: /no overlay yet: .*kernel state.*masquerade and forward rules.*MTU of pods.*drops, peers$/ },
  );
  t.notMatch(inOrder.join(), /kernel state|masquerade|MTU|drops|peers|leases/);
});

t.test('a network configuration that is gone or wrong is a fault (J11)', async t => {
  const check = (configuration?: string) =>
    checkConfig({
      faults: { configuration },
      lease: { failing: new Map() },
      store: {},
    } as unknown as Agent);
  t.same(check(), []);
  t.match(check('Backend.VNI: must be'), [
    { severity: 'fault', kind: 'config-unusable', what: /Backend\.VNI: must be.*the next start fails/ },
  ]);
});
