import { describeError } from '../../../base/errors.ts';
import { requireAddress } from '../../../ip/address.ts';
import { type PossibleDrop, possibleDrops } from '../../../net/filter/evaluate.ts';
import type { Link } from '../../../net/rtnetlink/links.ts';
import { placeOf, remedyForPods } from '../../firewall-remedies.ts';
import type { TraceAnswer } from '../answer.ts';
import type { TraceRecorder } from '../recorder.ts';

/** Most rules of which a step is written: a node with network policies has thousands. */
const SHOWN = 5;

/**
 * The forward rules of all programs, evaluated for the packet as the first one of a connection.
 * @returns the answer when a rule certainly drops it
 */
export async function filter(trace: TraceRecorder, from: Link, to: Link): Promise<TraceAnswer | undefined> {
  const { node, kernel, packet } = trace;
  const { family, protocol, sourcePort, destinationPort } = packet;
  let drops: PossibleDrop[];
  try {
    drops = possibleDrops(await kernel.filterTables(), 'forward', {
      ...{ family, protocol, sourcePort, destinationPort, from: from.name, to: to.name },
      source: requireAddress(packet.source),
      destination: requireAddress(packet.destination),
    });
  } catch (error) {
    trace.doubt('firewall', `the rules could not be evaluated: ${describeError(error)}`);
    return undefined;
  }
  const certain = drops.find(({ isCertain }) => isCertain);
  if (certain)
    return trace.lose(
      'firewall',
      textOf(certain),
      node.rules ? remedyForPods(certain, node.rules) : `accept the packet before this rule`,
      `dropped by a rule of another program: ${placeOf(certain)}`,
    );
  for (const drop of drops.slice(0, SHOWN))
    trace.doubt('firewall', `${textOf(drop)}; it depends on what a trace cannot evaluate`);
  if (drops.length > SHOWN)
    trace.doubt('firewall', `${drops.length - SHOWN} more rules can drop it, each under conditions`);
  if (drops.length === 0) trace.pass('firewall', `no rule in the forward hook drops it`);
  return undefined;
}

function textOf(drop: PossibleDrop): string {
  return `this rule can drop it: ${placeOf(drop)}`;
}
