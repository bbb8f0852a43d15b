import t from 'tap';
import type { Node } from '../../../src/lab/topology.ts';
import { until } from '../../../src/lab/until.ts';
import { agentsFor, fileStoreFor } from '../../fixtures/agents/agents.ts';
import { findingsOf, traceOn } from '../../fixtures/agents/ask.ts';
import { FIREWALLD, startFirewalld } from '../../fixtures/firewalld.ts';
import { labFor } from '../../fixtures/lab.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

const SKIP = { skip: skipUnless('root', 'netns', 'tun', 'nft', 'CAP_SYS_ADMIN', ...FIREWALLD) };

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
