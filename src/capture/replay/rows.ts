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
import type { ReplayPlace, ReplayResult, ReplaySkip } from './replay.ts';
import { type Difference, type ReplayTally, sorted } from './report.ts';

const place = {
  number: described('number of the packet in the file, from 1', number),
  part: described(
    'number of the datagram, from 1, where the packet holds several that were merged; null otherwise',
    nullable(number),
  ),
};

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
  skipped: described('why it was not judged; null if it was', nullable(string)),
  result: described('null if it was not judged', nullable(judged)),
});

/** The result of one packet for a program. */
export const replayRowField = record({ ...place, ...judged.fields });

/** A packet that was not judged. */
export const replaySkipField = record({ ...place, skipped: described('why it was not judged', string) });

const count = record({
  name: described('name of the verdict, or why something was not judged', string),
  count: described('how many', number),
});

/** The sums, after the last packet. */
export const replaySummaryField = record({
  packets: described('packets of the file that were read', number),
  merged: described('those of them that hold several merged datagrams', number),
  parts: described('datagrams in these', number),
  judged: described('by verdict', listOf(count)),
  notJudged: described('by reason; with `judged` the sum is `packets` - `merged` + `parts`', listOf(count)),
});

/** A packet of which two configurations give different results. */
export const replayDifferenceField = record({
  ...place,
  before: described('with --config', side),
  after: described('with --against', side),
});

/** The sums of a comparison, after the last difference. */
export const replayComparisonField = record({
  compared: described('packets, merged ones counted by their datagrams', number),
  changed: described('those with another result', number),
});

const placed = ({ number, part }: ReplayPlace) => ({ number, part: part ?? null });

export function replayRow(result: ReplayResult): ValueOf<typeof replayRowField> {
  return { ...placed(result), ...rowOf(result) };
}

export function replaySkip(skip: ReplaySkip): ValueOf<typeof replaySkipField> {
  return { ...placed(skip), skipped: skip.skipped };
}

export function replaySummary(tally: ReplayTally): ValueOf<typeof replaySummaryField> {
  const { packets, merged, parts, verdicts, notJudged } = tally;
  const counts = (map: ReadonlyMap<string, number>) => sorted(map).map(([name, count]) => ({ name, count }));
  return { packets, merged, parts, judged: counts(verdicts), notJudged: counts(notJudged) };
}

export function replayDifference({ before, after }: Difference): ValueOf<typeof replayDifferenceField> {
  return { ...placed(before), before: sideOf(before), after: sideOf(after) };
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
    outputs: outputs.map(({ kind, length }) => ({ kind, bytes: length })),
    packet: text,
  };
}
