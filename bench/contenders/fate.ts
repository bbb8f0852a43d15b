import { describeError } from '../../src/base/errors.ts';
import type { Audit } from '../../src/diagnose/audit/balance.ts';
import type { Proc } from '../../src/lab/proc.ts';
import type { Node } from '../../src/lab/topology.ts';
import { until } from '../../src/lab/until.ts';
import { CHECKOUT } from '../lab/tool.ts';

const MAIN = `${CHECKOUT}dist/src/cli/main.js`;

/** A node with the socket of its Ripstop. */
export interface Audited {
  readonly node: Node;
  readonly socket: string;
}

/** What became of packets that the pods of the first node send to those of the second one. */
export interface Fate {
  /** Frames that entered the data plane of the first node. */
  readonly entered: number;
  readonly deviceQueue: number;
  /** Datagrams that left the first node and did not come to the second one. */
  readonly underlay: number;
  /** Datagrams in the packets that the socket of the second node dropped. */
  readonly socket: number;
  /** Frames and datagrams that got another verdict than `forward`, at both nodes. */
  readonly otherVerdicts: number;
  /** Frames and packets without an outcome, at both nodes. */
  readonly residue: number;
  /** Frames that went to the device of the second node. */
  readonly delivered: number;
}

/**
 * Runs `task`, at most `seconds` long, while both nodes audit.
 * @throws RipstopError ECHILD when an audit fails, with its message
 */
export async function audited<T>(
  nodes: readonly [Audited, Audited],
  seconds: number,
  task: () => Promise<T>,
): Promise<{ result: T; fate: Fate }> {
  const audits = nodes.map(({ node, socket }) =>
    node.ns.launch([
      ...[process.execPath, MAIN, 'drops', '--audit', '--json'],
      ...[`--duration=${Math.ceil(seconds)}`, `--socket=${socket}`],
    ]),
  );
  try {
    for (const [index, audit] of audits.entries())
      await until('an audit to count', () => isCounting(nodes[index]!.node, audit));
    const result = await task();
    const [first, second] = await Promise.all(
      audits.map(async audit => JSON.parse(await audit.success()) as Audit),
    );
    return { result, fate: fateOf(first!, second!) };
  } finally {
    for (const audit of audits) await audit.stop().catch(describeError);
  }
}

function isCounting({ ns }: Node, audit: Proc): boolean {
  if (audit.result !== undefined) throw audit.failure('ECHILD', `ended early: ${audit.stderr}`);
  return ns.attempt(['tc', 'filter', 'show', 'dev', 'eth0', 'ingress']).stdout.includes('ripstop');
}

function fateOf(first: Audit, second: Audit): Fate {
  const egress = first.directions.find(({ direction }) => direction === 'egress')!;
  const ingress = second.directions.find(({ direction }) => direction === 'ingress')!;
  const framesOf = ({ outcomes }: typeof egress, verdict: string): number =>
    outcomes.find(outcome => outcome.verdict === verdict)?.frames ?? 0;
  const judged = ({ outcomes }: typeof egress, kernels: string): number =>
    outcomes.filter(({ verdict }) => verdict !== kernels).reduce((sum, { frames }) => sum + frames, 0);
  const read = judged(ingress, 'socket-dropped');
  const delivered = framesOf(ingress, 'forward');
  const residue = egress.residue.frames + ingress.residue.frames;
  return {
    ...{ entered: egress.entered.frames, delivered, residue },
    deviceQueue: framesOf(egress, 'device-queue-full'),
    // The packets of the measures are datagrams of their own: none is a GSO packet.
    underlay: framesOf(egress, 'forward') - ingress.entered.segments,
    // Packets are dropped whole; what was neither read nor is residue was in them.
    socket: framesOf(ingress, 'socket-dropped') === 0 ? 0 : ingress.entered.segments - read,
    otherVerdicts: judged(egress, 'device-queue-full') - framesOf(egress, 'forward') + read - delivered,
  };
}
