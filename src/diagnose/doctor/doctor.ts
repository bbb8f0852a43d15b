import type { Agent } from '../../agent/agent.ts';
import type { Overlay } from '../../agent/overlay/overlay.ts';
import { Prober } from '../../agent/probe/prober.ts';
import { describeError } from '../../base/errors.ts';
import { type Diagnosis, type Finding, warning } from './finding.ts';
import { type Check, NODE_CHECKS, OVERLAY_CHECKS } from './node-checks.ts';
import { examinePeers } from './peer-checks.ts';
import { evidenceOf } from './silence.ts';

/** What one check found, and how the list of what is in order names what it found in order. */
interface Outcome {
  readonly findings: readonly Finding[];
  readonly inOrder: readonly string[];
}

/** Examines this node and its path to every peer. Takes some seconds; changes nothing. */
export async function diagnose(agent: Agent): Promise<Diagnosis> {
  const outcomes = await runChecks(NODE_CHECKS, agent);
  const { network } = agent;
  if (network) outcomes.push(...(await runChecks(OVERLAY_CHECKS, agent)));
  const left = whyNotProbed(agent);
  if (left) outcomes.push({ findings: [left], inOrder: [] });
  else
    outcomes.push(...(await probePeers(agent, network?.overlays ?? [], network?.inputs.underlay.mtu ?? 0)));
  const findings = outcomes.flatMap(outcome => outcome.findings);
  // Faults before warnings.
  const order = (finding: Finding): number => (finding.severity === 'fault' ? 0 : 1);
  return {
    findings: findings.sort((a, b) => order(a) - order(b)),
    inOrder: outcomes.flatMap(({ inOrder }) => inOrder),
  };
}

async function runChecks(checks: Readonly<Record<string, Check>>, agent: Agent): Promise<Outcome[]> {
  const outcomes: Outcome[] = [];
  for (const [name, check] of Object.entries(checks))
    outcomes.push(
      await examine(name, async () => {
        const findings = await check(agent);
        return { findings, inOrder: findings.length === 0 ? [name] : [] };
      }),
    );
  return outcomes;
}

async function examine(name: string, work: () => Promise<Outcome>): Promise<Outcome> {
  try {
    return await work();
  } catch (error) {
    const skipped = warning(
      'skipped',
      `${name} could not be examined: ${describeError(error)}`,
      'run the agent as root with CAP_NET_ADMIN and CAP_NET_RAW',
    );
    return { findings: [skipped], inOrder: [] };
  }
}

function whyNotProbed({ network, options }: Agent): Finding | undefined {
  if (!network)
    return warning(
      'skipped',
      `not checked, as there is no overlay yet: ${[...Object.keys(OVERLAY_CHECKS), 'peers'].join(', ')}`,
      'run the doctor again when the node is ready',
    );
  if (options.netns === '') return undefined;
  return warning(
    'skipped',
    'the peers were not probed: raw sockets belong to the namespace of the process, not to that of the overlay',
    'run the agent inside the namespace, without the key or flag that names one',
  );
}

async function probePeers(
  { probes, options }: Agent,
  overlays: readonly Overlay[],
  underlayMtu: number,
): Promise<Outcome[]> {
  const prober = new Prober();
  const outcomes: Outcome[] = [];
  try {
    for (const overlay of overlays) {
      const device = overlay.plan.device ?? 'routes';
      outcomes.push(
        await examine(`peers by ${device}`, async () => {
          const { findings, well } = await examinePeers({
            ...{ overlay, underlayMtu, prober, probes },
            local: evidenceOf(overlay, options.netns),
          });
          const answer = well === 1 ? 'peer answers' : 'peers answer';
          return { findings, inOrder: well > 0 ? [`${well} ${answer} by ${device}`] : [] };
        }),
      );
    }
  } finally {
    prober.close();
  }
  return outcomes;
}
