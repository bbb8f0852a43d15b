import type { Agent } from '../../agent/agent.ts';
import { Prober } from '../../agent/probe/prober.ts';
import { describeError } from '../../base/errors.ts';
import { type Diagnosis, type Finding, warning } from './finding.ts';
import { NODE_CHECKS } from './node-checks.ts';
import { examinePeers } from './peer-checks.ts';

/** Examines this node and its path to every peer. Takes some seconds; changes nothing. */
export async function diagnose(agent: Agent): Promise<Diagnosis> {
  const findings: Finding[] = [];
  const inOrder: string[] = [];
  const examine = async (name: string, work: () => Promise<Finding[]>): Promise<void> => {
    try {
      const found = await work();
      if (found.length === 0) inOrder.push(name);
      findings.push(...found);
    } catch (error) {
      findings.push(
        warning(
          'skipped',
          `${name} could not be examined: ${describeError(error)}`,
          'run the agent as root with CAP_NET_ADMIN and CAP_NET_RAW',
        ),
      );
    }
  };
  for (const [name, check] of Object.entries(NODE_CHECKS)) await examine(name, async () => check(agent));
  const { network } = agent;
  if (!network) return sorted(findings, inOrder);
  if (agent.options.netns !== '') {
    findings.push(
      warning(
        'skipped',
        'the peers were not probed: raw sockets belong to the namespace of the process, not to that of the overlay',
        'run the agent inside the namespace, without the key or flag that names one',
      ),
    );
    return sorted(findings, inOrder);
  }
  const prober = new Prober();
  try {
    const { overlays, inputs } = network;
    for (const overlay of overlays) {
      const device = overlay.plan.device ?? 'routes';
      await examine(`peers by ${device}`, async () => {
        const { findings: found, well } = await examinePeers(overlay, inputs.underlay.mtu, prober);
        if (well > 0) inOrder.push(`${well} peers answer by ${device}`);
        return found;
      });
    }
  } finally {
    prober.close();
  }
  return sorted(findings, inOrder);
}

/** Faults before warnings. */
function sorted(findings: readonly Finding[], inOrder: readonly string[]): Diagnosis {
  const order = (finding: Finding): number => (finding.severity === 'fault' ? 0 : 1);
  return { findings: [...findings].sort((a, b) => order(a) - order(b)), inOrder };
}
