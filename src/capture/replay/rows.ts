import {
  described,
  listOf,
  nullable,
  number,
  oneOf,
  record,
  string,
  type ValueOf,
} from '../../base/schema.ts';
import { VERDICTS } from '../../dataplane/descriptor/verdicts.ts';
import type { ReplayResult, ReplaySkip } from './replay.ts';

const packetNumber = described('number of the packet in the file, from 1', number);

const output = record({
  kind: described(
    'datagram: to a peer; frame: to the device; icmp: to the sender of the frame',
    oneOf(['datagram', 'frame', 'icmp']),
  ),
  bytes: described('length as in a capture', number),
});

const judged = record({
  time: described('time in the capture, ns since 1970, as a text', string),
  direction: described('egress: from a pod; ingress: from a peer', oneOf(['egress', 'ingress'])),
  verdict: described('name of the verdict', string),
  peer: described('name of the peer; null without one', nullable(string)),
  outputs: described('what the node would send', listOf(output)),
  packet: described('the inner frame in the notation of tcpdump', string),
});

const side = record({
  skipped: described('why the packet was not replayed; null if it was', nullable(string)),
  result: described('null if the packet was not replayed', nullable(judged)),
});

/** The result of one packet for a program. */
export const replayRowField = record({ number: packetNumber, ...judged.fields });

/** A packet of which two configurations give different results. */
export const replayDifferenceField = record({
  number: packetNumber,
  before: described('with --config', side),
  after: described('with --against', side),
});

export function replayRow(result: ReplayResult): ValueOf<typeof replayRowField> {
  return { number: result.number, ...rowOf(result) };
}

export function replayDifference(
  before: ReplayResult | ReplaySkip,
  after: ReplayResult | ReplaySkip,
): ValueOf<typeof replayDifferenceField> {
  return { number: before.number, before: sideOf(before), after: sideOf(after) };
}

function sideOf(outcome: ReplayResult | ReplaySkip): ValueOf<typeof side> {
  return 'skipped' in outcome
    ? { skipped: outcome.skipped, result: null }
    : { skipped: null, result: rowOf(outcome) };
}

function rowOf({ time, direction, verdict, peer, outputs, text }: ReplayResult): ValueOf<typeof judged> {
  return {
    time: String(time),
    direction,
    verdict: VERDICTS[verdict]?.name ?? `verdict ${verdict}`,
    peer: peer ?? null,
    outputs: outputs.map(({ kind, bytes }) => ({ kind, bytes: bytes.length })),
    packet: text,
  };
}
