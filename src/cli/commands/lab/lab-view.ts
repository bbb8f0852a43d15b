import type { ValueOf } from '../../../base/schema.ts';
import { formatBitRate, formatLatency } from '../../../base/text/quantity.ts';
import type { JSON_FORMATS } from '../../json/formats.ts';
import { formatTable } from '../../terminal/table.ts';

type LabValue = ValueOf<(typeof JSON_FORMATS)['ripstop-lab/1']['field']>;

/** Names and addresses of a lab, and how to enter it. */
export function describeLab({ mode, underlay, mtu, link, nodes }: LabValue): string {
  const rows = nodes.flatMap(node => [
    [node.name, node.netns, node.ipv4, node.ipv6],
    ...node.pods.map(pod => [`  ${pod.name}`, pod.netns, pod.ipv4, pod.ipv6]),
  ]);
  const pod = nodes[0]?.pods[0];
  const socket = nodes[0]?.socket;
  return [
    `${nodes.length} nodes, ${mode} over IPv${underlay}, MTU of the pods ${mtu}, ${linkWords(link)}`,
    formatTable(['NAME', 'NAMESPACE', 'IPV4', 'IPV6'], rows).trimEnd(),
    `enter a pod: ip netns exec ${pod?.netns} bash`,
    ...(socket ? [`socket of node1, for --socket: ${socket}`] : []),
    'variables:   $LAB_POD1 (a namespace), $LAB_POD1_IPV4, $LAB_NODE1_SOCKET …',
    'The lab is removed at the end (exit or Ctrl-C).',
  ].join('\n');
}

function linkWords({ bitsPerSecond, delayMicroseconds, lossPercent }: LabValue['link']): string {
  const words = [
    ...(bitsPerSecond === null ? [] : [`${formatBitRate(bitsPerSecond)} by TBF`]),
    ...(delayMicroseconds === null ? [] : [`${formatLatency(delayMicroseconds / 1000)} one way by netem`]),
    ...(lossPercent === null ? [] : [`${lossPercent} % lost by netem`]),
  ];
  return words.length === 0 ? 'unlimited links' : `links: ${words.join(', ')}`;
}
