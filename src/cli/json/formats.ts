import { ANSWERS } from '../../api/answers.ts';
import {
  boolean,
  described,
  type Field,
  listOf,
  nullable,
  number,
  oneOf,
  record,
  string,
} from '../../base/schema.ts';
import { pathRowField } from '../../capture/correlate/rows.ts';
import { dropRowField, lastDropField } from '../../capture/decode/drop-rows.ts';
import { packetRowField } from '../../capture/decode/packet-row.ts';
import { podPairFields } from '../../capture/decode/pod-pair.ts';
import { flowRecordField } from '../../capture/flows/flow-log.ts';
import {
  replayComparisonField,
  replayDifferenceField,
  replayRowField,
  replaySkipField,
  replaySummaryField,
} from '../../capture/replay/rows.ts';
import { costs } from '../../diagnose/cost.ts';
import { KINDS } from '../../diagnose/explain/explanation.ts';
import { missingFiles } from '../../diagnose/report/bundle.ts';
import { traceAnswer } from '../../diagnose/trace/answer.ts';
import { comparisonField } from '../../measure/bench/compare.ts';
import { benchField } from '../../measure/bench/report.ts';
import { countedField } from '../../measure/sink/counted.ts';
import { limitField, streamReport } from '../../measure/stream/report.ts';

/** What a command prints with `--output`. */
interface JsonFormat {
  readonly command: string;
  /** Every line is an object; otherwise the output is one object. */
  readonly lines?: true;
  readonly field: Field;
}

const explanation = record({
  name: described('the name, as it is shown', string),
  kind: described('kind of the name', oneOf(KINDS)),
  meaning: described('what it means', string),
  cause: described('why it happens', string),
  evidence: described('how to see it', string),
  remedy: described('what to do', string),
});

const version = record({
  ripstop: described('version of this program', string),
  node: described('version of Node.js', string),
  agent: described(
    'the running agent; null if there is none',
    nullable(record({ version: described('its version', string), pid: described('its process id', number) })),
  ),
});

const report = record({
  file: described('path of the archive', string),
  bytes: described('its length', number),
  pseudonyms: described('names and addresses are pseudonyms', boolean),
  files: described('names of the files in it', listOf(string)),
  missing: described('what could not be had, and why', missingFiles),
});

const labPlace = {
  name: described('node1, pod1 and so on; pods are numbered through all nodes', string),
  netns: described('name of its network namespace', string),
  ipv4: described('its IPv4 address', string),
  ipv6: described('its IPv6 address', string),
};

const lab = record({
  mode: described('what joins the nodes', string),
  underlay: described('IP version of the outer packets', number),
  mtu: described('MTU of the pods', number),
  link: described(
    'conditions of the underlay for packets that leave a node; null: none',
    record({
      bitsPerSecond: described('rate of Ethernet frames, by TBF', nullable(number)),
      delayMicroseconds: described('delay of one direction, by netem', nullable(number)),
      lossPercent: described('per cent of packets that are lost, by netem', nullable(number)),
    }),
  ),
  nodes: described(
    'the nodes',
    listOf(
      record({
        ...labPlace,
        socket: described('path of the socket of its agent; null without one', nullable(string)),
        pods: described('its pods', listOf(record(labPlace))),
      }),
    ),
  ),
});

const cleanup = record({
  removed: described('what was removed', listOf(string)),
  completed: described('recorded CNI calls that were completed', listOf(string)),
  kept: described('what stays on purpose, and why', listOf(string)),
  failures: described('what could not be removed or completed, and why', listOf(string)),
});

/**
 * The formats by name and version. The version is increased when a key is removed, is renamed or gets another meaning. A
 * new key does not increase it. docs/reference/json.md and json-schema.json are generated from this table.
 */
export const JSON_FORMATS = {
  'ripstop-status/1': { command: 'ripstop status -o json', field: ANSWERS['/status'] },
  'ripstop-peers/1': {
    command: 'ripstop peers -o json',
    field: record({ peers: described('the peers of all overlays', ANSWERS['/peers']) }),
  },
  'ripstop-routes/1': {
    command: 'ripstop routes -o json',
    field: record({ routes: described('routes that the agent keeps', ANSWERS['/routes']) }),
  },
  'ripstop-leases/1': {
    command: 'ripstop leases -o json',
    field: record({ leases: described('all leases of the store', ANSWERS['/leases']) }),
  },
  'ripstop-pods/1': {
    command: 'ripstop pods -o json',
    field: record({
      pods: described('the former owners of addresses, then the present ones', ANSWERS['/pods']),
    }),
  },
  'ripstop-drops/1': {
    command: 'ripstop drops -o json',
    field: ANSWERS['/drops'],
  },
  'ripstop-drop/1': { command: 'ripstop drops --follow -o json', lines: true, field: dropRowField },
  'ripstop-last-drops/1': {
    command: 'ripstop drops --last N -o json',
    field: record({
      overlays: described(
        'what the flight recorder of each overlay has',
        ANSWERS['/recorder'].fields.overlays,
      ),
      drops: described('the last lost frames, the oldest first', listOf(lastDropField)),
    }),
  },
  'ripstop-recorder/1': { command: 'ripstop recorder -o json', field: ANSWERS['/recorder'] },
  'ripstop-audit/1': { command: 'ripstop drops --audit -o json', field: ANSWERS['/audit'] },
  'ripstop-runtime/1': { command: 'ripstop runtime -o json', field: ANSWERS['/runtime'] },
  'ripstop-latency/1': { command: 'ripstop latency -o json', field: ANSWERS['/latency'] },
  'ripstop-cost/1': { command: 'ripstop top --cost -o json', lines: true, field: costs },
  'ripstop-doctor/1': { command: 'ripstop doctor -o json', field: ANSWERS['/doctor'] },
  'ripstop-plan/1': {
    command: 'ripstop plan -o json',
    field: record({
      steps: described(
        'what would change, one text per step; ! begins an ignored lease or setting',
        ANSWERS['/pending'],
      ),
    }),
  },
  'ripstop-flows/1': { command: 'ripstop flows -o json', field: ANSWERS['/flows'] },
  'ripstop-flow/1': { command: 'ripstop flows --log', lines: true, field: flowRecordField },
  'ripstop-packet/1': { command: 'ripstop capture -o json', lines: true, field: packetRowField },
  'ripstop-trace/1': {
    command: 'ripstop trace -o json',
    field: record({
      nodes: described('one per node, in the order of the way', listOf(traceAnswer)),
      ...podPairFields,
    }),
  },
  'ripstop-path/1': { command: 'ripstop trace --live -o json', lines: true, field: pathRowField },
  'ripstop-replay/1': { command: 'ripstop replay -o json', lines: true, field: replayRowField },
  'ripstop-replay-skip/1': { command: 'ripstop replay -o json', lines: true, field: replaySkipField },
  'ripstop-replay-summary/1': { command: 'ripstop replay -o json', lines: true, field: replaySummaryField },
  'ripstop-replay-difference/1': {
    command: 'ripstop replay --against FILE -o json',
    lines: true,
    field: replayDifferenceField,
  },
  'ripstop-replay-comparison/1': {
    command: 'ripstop replay --against FILE -o json',
    lines: true,
    field: replayComparisonField,
  },
  'ripstop-blast/1': { command: 'ripstop blast -o json', field: streamReport },
  'ripstop-blast-limit/1': { command: 'ripstop blast --self-test -o json', field: limitField },
  'ripstop-sink/1': { command: 'ripstop sink -o json', lines: true, field: countedField },
  'ripstop-bench-path/1': { command: 'ripstop bench -o json', field: benchField },
  'ripstop-bench-comparison/1': {
    command: 'ripstop bench --compare FILE FILE -o json',
    field: comparisonField,
  },
  'ripstop-explain/1': {
    command: 'ripstop explain -o json',
    field: record({ explanations: described('one, or all without a name', listOf(explanation)) }),
  },
  'ripstop-version/1': { command: 'ripstop version -o json', field: version },
  'ripstop-report/1': { command: 'ripstop report -o json', field: report },
  'ripstop-lab/1': { command: 'ripstop lab -o json', field: lab },
  'ripstop-lab-clean/1': {
    command: 'ripstop lab --clean -o json',
    field: record({ removed: described('names of the namespaces that were removed', listOf(string)) }),
  },
  'ripstop-cleanup/1': { command: 'ripstop cleanup -o json', field: cleanup },
} as const satisfies Record<string, JsonFormat>;
