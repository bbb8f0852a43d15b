import t from 'tap';
import { requestOf } from '../../../../src/cli/commands/packets/trace-run.ts';
import { replayConfigOf, traceFrom } from '../../../../src/cli/commands/report/report-file.ts';
import { type Bundle, packBundle, Report } from '../../../../src/diagnose/report/bundle.ts';
import { KERNEL, NODE, sampleBundle } from '../../../fixtures/report/sample.ts';

const ABOUT = { version: '1', createdAt: new Date(0), pseudonyms: false };

function reportOf(change: (bundle: Bundle) => void = () => {}): Report {
  const bundle = sampleBundle();
  change(bundle);
  return new Report(packBundle(bundle, ABOUT).archive, 'r');
}

/** The steps as lines, and the verdict. */
async function trace(report: Report, src: string, dst: string, more: object = {}) {
  const { steps, verdict, outcome } = await traceFrom(report, requestOf({ src, dst, socket: '', ...more }));
  return { outcome, verdict, text: steps.map(({ step, text }) => `${step} ${text}`).join('\n') };
}

/** A change of one file of the kernel. */
const kernel = (file: string, change: (value: never) => unknown) => (bundle: Bundle) =>
  void bundle.files.set(file, change(structuredClone(KERNEL[file]) as never));

t.test('a packet of a pod to a peer, traced in a report, takes the way of its node', async t => {
  const { text, verdict } = await trace(reportOf(), '10.244.1.5', '10.244.2.7', { dport: 80 });
  for (const line of [
    'source 10.244.1.5 is a pod behind cni0',
    'forwarding net.ipv4.ip_forward is 1',
    'route 10.244.2.7 via 10.244.2.0 dev flannel.7',
    'firewall no rule in the forward hook drops it',
    'neighbour 10.244.2.0 is at 0a:00:00:00:00:02 on flannel.7 (permanent)',
    'peer beta (203.0.113.2)',
    'outer UDP 203.0.113.1:8472 > 203.0.113.2:8472, VXLAN, VNI 1',
    'underlay 203.0.113.2 dev eth7, neighbour reachable',
  ])
    t.ok(text.includes(line), `${line}\n${text}`);
  t.equal(verdict, 'sent to beta in UDP');
});

t.test('a packet from a peer, traced in a report, is delivered to the pod', async t => {
  const { text, verdict } = await trace(reportOf(), '10.244.2.7', '10.244.1.5', { dport: 80 });
  t.match(text, /decap forward: 203\.0\.113\.2 is a peer and owns the source address/);
  t.match(text, /pod 10\.244\.1\.5 is at 0a:00:00:00:05:05 on cni0 \(reachable\), behind veth1/);
  t.equal(verdict, 'delivered to 10.244.1.5 by cni0');
});

t.test('a VXLAN of the kernel, traced in a report, sends by its forwarding entry', async t => {
  const vxlan = {
    ...{ vni: 1, parent: 2, local: '203.0.113.1', port: 8472, learning: false, gbp: false },
    remoteChecksum: { sends: false, receives: false },
  };
  const report = reportOf(bundle => {
    bundle.files.set('agent/node.json', { ...NODE, overlays: [{ ...NODE.overlays[0], plane: undefined }] });
    kernel('kernel/links.json', (links: { kind?: string; details: object }[]) =>
      links.map(link => (link.kind === 'tun' ? { ...link, kind: 'vxlan', details: { vxlan } } : link)),
    )(bundle);
    kernel('kernel/forwarding.json', (entries: object[]) => [
      ...entries,
      { link: 3, mac: '0a:00:00:00:00:02', remote: '203.0.113.2', permanent: true, self: true },
    ])(bundle);
  });
  t.match(await trace(report, '10.244.1.5', '10.244.2.7'), {
    verdict: "sent to beta by the kernel's VXLAN",
    text: /outer UDP from 203\.0\.113\.1 > 203\.0\.113\.2:8472, VXLAN, VNI 1, by the kernel/,
  });
  t.match(await trace(report, '10.244.2.7', '10.244.1.5'), {
    outcome: 'delivered',
    text: /decap by the kernel on flannel\.7 \(UDP port 8472, VNI 1\)/,
  });
});

t.test('what loses a packet on the node loses it in the report', async t => {
  const [pod, far] = ['10.244.1.5', '10.244.2.7'];
  const lost = async (report: Report, expected: RegExp, more: object = {}, source = pod, target = far) => {
    const { outcome, text, verdict } = await trace(report, source, target, more);
    t.equal(outcome, 'dropped', text);
    t.match(`${text}\n${verdict}`, expected);
  };
  await lost(reportOf(), /this rule can drop it: .*dport 22/, { dport: 22 });
  await lost(reportOf(), /mtu 1500 bytes, the MTU of flannel\.7 is 1450/, { size: 1500 });
  // The kernel's own answer for the peer has the path MTU.
  await lost(reportOf(), /underlay .*1450 bytes, the MTU is 1400/, { size: 1400 });
  await lost(
    reportOf(kernel('kernel/sysctls.json', (value: object) => ({ ...value, 'net/ipv4/ip_forward': '0' }))),
    /ip_forward is 0/,
  );
  const strict = kernel('kernel/sysctls.json', (value: object) => ({
    ...value,
    'net/ipv4/conf/flannel.7/rp_filter': '1',
  }));
  const astray = kernel('kernel/routes.json', (value: object[]) => [
    ...value,
    { ...value[1], destination: '10.244.2.7/32' },
  ]);
  const filtered = reportOf(bundle => {
    strict(bundle);
    astray(bundle);
  });
  const expected = /reverse path filter on flannel\.7 .*the route to 10\.244\.2\.7 leaves by eth7/;
  await lost(filtered, expected, {}, far, pod);
  const blackhole = { ...(KERNEL['kernel/routes.json'] as object[])[3], type: 'blackhole', link: undefined };
  await lost(
    reportOf(
      kernel('kernel/routes.json', (value: object[]) => [...value.slice(0, 3), blackhole, ...value.slice(4)]),
    ),
    /a blackhole route matches 10\.244\.2\.7/,
  );
  await lost(reportOf(), /no peer owns it: it leaves by eth7/, {}, pod, '10.244.9.9');
});

t.test('rules whose chains call each other too often leave the trace in doubt', async t => {
  const jumps = Array.from({ length: 30 }, (_, at) => [
    `:C${at} - [0:0]`,
    `-A C${at} -j C${at + 1}`,
    `-A C${at} -j C${at + 1}`,
  ]);
  const lines = [':FORWARD ACCEPT [0:0]', '-A FORWARD -j C0', ...jumps.flat(), ':C30 - [0:0]'];
  const report = reportOf(bundle => {
    const iptables = [{ family: 4, table: 'filter', variant: 'nft', lines }];
    bundle.files.set('kernel/firewall.json', { iptables, nftables: [] });
  });
  t.match(await trace(report, '10.244.1.5', '10.244.2.7'), { outcome: 'unknown', text: /too many ways/ });
});

t.test('what a report lacks is named, or leaves the trace in doubt', async t => {
  const without = (file: string) =>
    reportOf(bundle => {
      bundle.files.delete(file);
      bundle.lack(file, 'no permission');
    });
  const doubtful = await trace(without('kernel/firewall.json'), '10.244.1.5', '10.244.2.7');
  t.match(doubtful, { outcome: 'unknown', text: /firewall\.json is not in the report: no permission/ });
  await t.rejects(trace(without('kernel/routes.json'), '10.244.1.5', '10.244.2.7'), {
    code: 'EREPORT',
    message: /routes\.json is not in the report: no permission/,
  });
});

t.test('the forwarder of a replay is that of the report', async t => {
  const config = replayConfigOf(reportOf(), undefined);
  t.match(config, {
    ...{ mode: 'vxlan', port: 8472, vni: 1, mtu: 1450, underlayMtu: 1500, address: '203.0.113.1' },
    ...{ mac: '0a:00:00:00:00:01', sourceCheck: true, flood: false },
    peers: [{ id: '10.244.2.0-24', address: '203.0.113.2', mac: '0a:00:00:00:00:02' }],
  });
  t.throws(() => replayConfigOf(reportOf(), '203.0.113.9'), {
    code: 'EREPORT',
    message: /no data plane in user space with the address 203\.0\.113\.9/,
  });
  const [overlay] = NODE.overlays;
  const hostile = reportOf(bundle =>
    bundle.files.set('agent/node.json', { ...NODE, overlays: [{ ...overlay, vni: -1 }] }),
  );
  t.throws(() => replayConfigOf(hostile, undefined), { code: 'EREPORT', message: /vni: -1/ });
});
