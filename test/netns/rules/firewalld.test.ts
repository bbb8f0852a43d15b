import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import type { Namespace } from '../../../bench/lab/namespace.ts';
import type { Node } from '../../../bench/lab/topology.ts';
import { until } from '../../../bench/lab/until.ts';
import { agentsFor, fileStoreFor } from '../../fixtures/agents/agents.ts';
import { findingsOf, traceOn } from '../../fixtures/agents/ask.ts';
import { labFor } from '../../fixtures/lab.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

/* The distribution's firewalld on a node, with its default zone, on a bus of its own (`apt-get install firewalld`). */

const SKIP = {
  skip: skipUnless(
    'root',
    'netns',
    'tun',
    'nft',
    'CAP_SYS_ADMIN',
    'dbus-daemon',
    'firewalld',
    'firewall-cmd',
  ),
};

const BUS = (
  socket: string,
) => `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path=${socket}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <allow own="*"/>
    <allow send_destination="*"/>
    <allow receive_sender="*"/>
  </policy>
</busconfig>
`;

/** Starts firewalld in a namespace. @returns a function that runs `firewall-cmd` there */
async function startFirewalld(
  t: Parameters<typeof labFor>[0],
  ns: Namespace,
): Promise<(command: string) => string> {
  const root = mkdtempSync(join(tmpdir(), 'rs-firewalld-'));
  t.teardown(() => rmSync(root, { recursive: true, force: true }));
  const socket = join(root, 'bus');
  const [etc, bus] = [join(root, 'etc'), join(root, 'bus.xml')];
  mkdirSync(etc);
  writeFileSync(bus, BUS(socket));
  // Names of nftables; no IPv6 reverse path filter, which the lab's pods have no routes for.
  writeFileSync(
    join(etc, 'firewalld.conf'),
    'DefaultZone=public\nFirewallBackend=nftables\nIPv6_rpfilter=no\n',
  );
  const variables = ['env', `DBUS_SYSTEM_BUS_ADDRESS=unix:path=${socket}`];
  const daemon = ns.launch([
    'dbus-daemon',
    `--config-file=${bus}`,
    '--nofork',
    '--nopidfile',
    '--print-address',
  ]);
  await daemon.saying(/unix:path/);
  const firewalld = ns.launch([
    ...variables,
    'firewalld',
    '--nofork',
    '--nopid',
    `--system-config=${etc}`,
    '--log-target=file',
    `--log-file=${join(root, 'log')}`,
  ]);
  t.teardown(async () => {
    await firewalld.stop().catch(() => {});
    await daemon.stop().catch(() => {});
  });
  const run = (command: string): string => ns.must([...variables, 'sh', '-c', command]);
  await until('firewalld to run', () => ns.attempt([...variables, 'firewall-cmd', '--state']).code === 0);
  return run;
}

t.test(
  "the distribution's firewalld: named by doctor and trace, and the proposed commands help",
  SKIP,
  async t => {
    const lab = labFor(t);
    const store = fileStoreFor(t);
    const { agents } = agentsFor(t, lab, store.flags);
    const [one, two] = lab.nodes as [Node, Node];
    for (const agent of agents) {
      agent.rememberSubnet();
      agent.start();
    }
    await Promise.all(agents.map(agent => agent.ready(1)));
    const agent = agents[1]!;
    const [here, there] = [two.pods[0]!.address[4], one.pods[0]!.address[4]];
    const flows = () => two.pods[0]!.ns.attempt(['ping', '-c1', '-W1', there]).code === 0;
    await until('traffic', flows);

    const run = await startFirewalld(t, two.ns);
    await until('firewalld to block', () => !flows());
    const findings = findingsOf(agent, 'firewall-drops');
    t.ok(findings.length >= 2, 'packets of pods, and datagrams of the tunnel');
    for (const { severity, what, remedy } of findings) {
      t.equal(severity, 'fault', what);
      t.match(what, /^nftables table inet firewalld, chain filter_/);
      t.match(remedy, /^firewall-cmd --permanent .* && firewall-cmd --reload$/);
    }
    const answer = traceOn(agent, here, there);
    t.equal(answer.outcome, 'dropped');
    t.match(answer.steps.at(-1)?.text, /^this rule can drop it: nftables table inet firewalld/);

    for (const remedy of new Set(findings.map(finding => finding.remedy))) run(remedy);
    await until('traffic after the proposed commands', flows);
    t.same(findingsOf(agent, 'firewall-drops'), []);
    t.equal(traceOn(agent, here, there).outcome, 'forwarded');
  },
);
