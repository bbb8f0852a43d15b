import t from 'tap';
import type { LeaseStatus, PeerStatus, Status } from '../../../src/api/answers.ts';
import { showDiagnosis } from '../../../src/cli/commands/show/doctor.ts';
import { showPlan } from '../../../src/cli/commands/show/plan.ts';
import { showStatus } from '../../../src/cli/commands/show/status.ts';
import { showDrops, showLeases, showPeers, showRoutes } from '../../../src/cli/commands/show/tables.ts';
import { formatTable } from '../../../src/cli/terminal/table.ts';

t.test('columns of a table', async t => {
  t.equal(
    formatTable(
      ['NAME', 'N'],
      [
        ['a', 5],
        ['longer', 1234],
      ],
    ),
    'NAME       N\na          5\nlonger  1234\n',
  );
  t.equal(
    formatTable(
      ['A', 'B'],
      [
        ['x', ''],
        ['y', 'z'],
      ],
    ),
    'A  B\nx\ny  z\n',
    'no blanks at the end of a line',
  );
});

const STATUS: Status = {
  ready: true,
  waiting: null,
  failing: [],
  endpoints: [],
  uncaught: null,
  reasons: [],
  node: 'node1',
  pid: 7,
  version: '0.1.0',
  startedAt: '2026-11-24T03:00:00.000Z',
  store: {
    kind: 'etcd',
    location: 'etcd http://e:2379 /coreos.com/network/',
    downSince: null,
    failingWrites: [],
    lacking: [],
    borrowed: false,
    kept: null,
  },
  lease: { key: '10.244.1.0-24', subnets: ['10.244.1.0/24'], endsInMs: 86_000_000 },
  underlay: { name: 'eth0', mtu: 1500, addresses: ['192.0.2.1'], published: ['192.0.2.1'] },
  overlays: [
    {
      mode: 'vxlan',
      device: 'flannel.1',
      dataPlane: 'userspace',
      mtu: 1450,
      mac: '02:00:00:00:00:01',
      address: '192.0.2.1',
      subnets: ['10.244.1.0/24'],
      peers: 2,
      silentPeers: 0,
      queues: [{ egress: 12, ingress: 3 }],
      workerRestarts: 0,
      workerLagMs: 0.3,
      rebuilt: 0,
      recorder: null,
      offloads: { csum: 'on', uso: 'not supported by this kernel' },
    },
  ],
  rules: { tool: 'nftables', repaired: 0 },
  settings: [
    { name: 'workers', value: 2, origin: 'cluster' },
    { name: 'busyPollMicroseconds', value: 200, origin: 'default' },
    { name: 'offloads.tso', value: false, origin: 'flag' },
  ],
  repairs: {},
  failedRepairs: 0,
  networkStarts: 1,
  leases: 3,
  rejected: [],
  refusedSysctls: [],
};

t.test('status', async t => {
  const text = showStatus(STATUS);
  t.match(text, /^node +node1 \(pid 7, ripstop 0\.1\.0/m);
  t.match(text, /^ready +yes$/m);
  t.match(text, /^lease +10\.244\.1\.0\/24, ends in 23h 53m$/m);
  t.match(text, /^flannel\.1 +vxlan +userspace +1450 +02:00:00:00:00:01 +10\.244\.1\.0\/24 +2 +off: uso$/m);
  t.match(
    text,
    /^SETTING +VALUE +FROM\nworkers +2 +cluster\nbusyPoll\S+ +200 +default\noffloads\.tso +false +flag$/m,
  );
  const [overlay] = STATUS.overlays;
  t.match(showStatus({ ...STATUS, overlays: [{ ...overlay!, silentPeers: 1 }] }), / 2 \(1 silent\) /);
  t.notMatch(text, /^queues/m, 'one queue needs no row');
  const queues = [...overlay!.queues!, { egress: 0, ingress: 700 }];
  const offloads = { csum: 'on', steering: 'needs CAP_BPF' };
  t.match(
    showStatus({ ...STATUS, overlays: [{ ...overlay!, queues, offloads }] }),
    /^queues +flannel\.1 0: 12 frames egress, 3 ingress\n +flannel\.1 1: 0 frames egress, 700 ingress\n[\s\S]* off: steering$/m,
  );
  const bad = showStatus({
    ...STATUS,
    ready: false,
    reasons: ['peers: unknown yet'],
    store: { ...STATUS.store, downSince: '2026-11-24T03:05:00.000Z', borrowed: true },
    underlay: { ...STATUS.underlay!, published: ['203.0.113.1'] },
    repairs: { 'set-route': 2 },
    rejected: [{ key: '10.244.9.0-24', reason: 'vni-differs', message: 'has VNI 2, this node 1' }],
  });
  t.match(bad, /^ready +no: peers: unknown yet$/m);
  t.match(bad, /UNREACHABLE since 2026-11-24T03:05:00\.000Z, using the saved state/);
  t.match(bad, /published as 203\.0\.113\.1/);
  t.match(bad, /^repairs +set-route 2$/m);
  t.match(bad, /^ignored +10\.244\.9\.0-24 has VNI 2/m);
  t.notMatch(showStatus({ ...STATUS, lease: null, underlay: null, overlays: [], rules: null }), 'DEVICE');
});

t.test('peers, leases, routes, drops, plan, doctor', async t => {
  const peer: PeerStatus = {
    id: '10.244.2.0-24',
    node: null,
    agent: null,
    device: 'flannel.1',
    address: '192.0.2.2',
    mac: '02:00:00:00:00:02',
    subnets: ['10.244.2.0/24'],
    direct: false,
    remoteChecksum: true,
    segmentation: { state: 'intact', since: '2026-11-24T03:05:00.000Z', detail: null },
    health: {
      tunnel: { probes: 30, lost: 3, rttMs: 0.4321 },
      underlay: { probes: 30, lost: 0, rttMs: 0.2 },
    },
    traffic: { egress: { frames: 3, bytes: 300 }, ingress: { frames: 4, bytes: 4096 } },
  };
  const shown = showPeers([peer]);
  t.match(shown, /^- +192\.0\.2\.2 +flannel\.1 +10\.244\.2\.0\/24 +300 B +4\.00 KiB +10 % +432us$/m);
  t.ok(
    shown.split('\n').every(line => line.length <= 100),
    shown,
  );
  t.match(
    showPeers([{ ...peer, direct: true, traffic: null, health: { ...peer.health!, tunnel: null } }]),
    / direct .* - +- +0 % +200us$/m,
  );
  t.match(showPeers([{ ...peer, traffic: null, health: null }]), / - +- +- +-$/m);
  t.match(
    showPeers([{ ...peer, agent: 'flannel' }]),
    /^flannel +192/m,
    'a node of flannel has no name (J11)',
  );
  t.equal(showPeers([]), 'no peers\n');
  const detail = 'trains of 43 x 1472 + 747 bytes: 43 datagrams never arrive, alone all do';
  const broken = { state: 'broken', since: '2026-11-24T03:05:00.000Z', detail } as const;
  t.ok(
    showPeers([{ ...peer, segmentation: broken }, peer]).endsWith(
      `\n192.0.2.2: segmentation offload is off since 2026-11-24T03:05:00Z:\n  ${detail}\n`,
    ),
  );
  t.notMatch(shown, 'segmentation');
  const lease: LeaseStatus = {
    key: 'k',
    subnets: ['10.244.1.0/24'],
    node: 'a',
    agent: 'ripstop',
    publicIp: '192.0.2.1',
    publicIpv6: null,
    backend: 'vxlan',
    own: true,
    ends: null,
  };
  t.match(showLeases([lease]), /^\* +10\.244\.1\.0\/24 +a +192\.0\.2\.1 +vxlan +by the store$/m);
  t.match(showLeases([{ ...lease, node: null, agent: 'flannel' }]), / flannel +192/);
  t.equal(showLeases([]), 'no leases\n');
  t.match(
    showRoutes([{ destination: '10.244.2.0/24', via: '10.244.2.0', device: 'flannel.1' }]),
    /^10\.244\.2\.0\/24 +10\.244\.2\.0 +flannel\.1$/m,
  );
  const drop = {
    ...{ device: 'flannel.1', reason: 'no-peer', direction: 'egress' },
    ...{ frames: 2, bytes: 100, meaning: 'no peer owns it', remedy: 'ask' },
  };
  t.match(
    showDrops({ drops: [drop], stack: [] }),
    /no-peer +egress +2 +100 B +no peer owns it\n\nno-peer: ask\n$/,
  );
  t.match(
    showDrops({ drops: [], stack: [{ counter: 'UdpInCsumErrors', change: 7 }] }),
    /^no drops\n\nIP stack .* since the agent started, all programs together;\n.*\n {2}UdpInCsumErrors +7\n$/,
    'the stack is context, not a drop',
  );
  t.match(showPlan([]), /nothing to change/);
  t.equal(showPlan(['+ a', '- b']), '+ a\n- b\n');
  t.match(showDiagnosis({ findings: [], inOrder: ['checksums'] }), 'no fault found\nchecked: checksums\n');
  t.match(
    showDiagnosis({
      findings: [{ severity: 'fault', kind: 'port-filtered', what: 'x', remedy: 'y' }],
      inOrder: [],
    }),
    'fault (port-filtered): x\n  fix: y\n',
  );
});

t.test('control characters in a cell (H17): escaped, and the columns keep their width', async t => {
  t.equal(
    formatTable(['BACKEND', 'N'], [['vxlan\u001b[31m', 1]]),
    'BACKEND          N\nvxlan\\u001b[31m  1\n',
  );
});

t.test('writes that fail, missing rights and a waiting change (A13, J9, J10): in the status', async t => {
  const store = {
    ...STATUS.store,
    failingWrites: ['heartbeat: permission denied'],
    lacking: ['no heartbeats'],
  };
  const text = showStatus({ ...STATUS, store, waiting: 'the change of VNI 1 to 2 waits' });
  t.match(text, /^store .*, WRITES FAIL$/m);
  t.match(text, /^lacking +no heartbeats$/m);
  t.match(text, /^waiting +the change of VNI/m);
});
