import { isIP } from 'node:net';
import { Help } from 'commander';
import { requestTrace } from '../../../api/client.ts';
import { elementAt } from '../../../base/at.ts';
import { RipstopError } from '../../../base/errors.ts';
import { printableValue } from '../../../base/text/printable.ts';
import { NO_PODS, podPairText } from '../../../capture/decode/pod-pair.ts';
import { type PodAddress, PodNames } from '../../../capture/live/pods.ts';
import { type TraceAnswer, type TraceRequest, unknownVerdict } from '../../../diagnose/trace/answer.ts';
import { canonicalAddress } from '../../../ip/address.ts';
import { objectText } from '../../json/print.ts';
import type { OutputOptions } from '../../options.ts';
import { namesPods, podsAt, resolveEnds } from '../../pods.ts';

export interface TraceOptions extends OutputOptions {
  readonly src: string;
  readonly dst: string;
  readonly proto?: 'tcp' | 'udp' | 'icmp';
  readonly sport?: number;
  readonly dport?: number;
  readonly size?: number;
  readonly peerSocket?: string;
  readonly from?: string;
  readonly peerFrom?: string;
  readonly live?: true;
  readonly count?: number;
  readonly socket: string;
}

/** Defaults of the ports. */
const SOURCE_PORT = 40_000;
const DESTINATION_PORT = 80;
/** IP packets of a SYN without options, and of ping's usual size. */
const SYN_BYTES = { 4: 40, 6: 60 } as const;
const PING_BYTES = 84;
const TIMEOUT_MS = 10_000;
/** Exit statuses. */
const LOST = 1;
const NOT_KNOWN = 3;

/** A node that a packet is followed through: that of an agent, or that of a report. */
interface TracedNode {
  ask(request: TraceRequest): Promise<TraceAnswer>;
  /** Its pods; with `isNeeded`, an error where they cannot be had. */
  pods(isNeeded: boolean): Promise<readonly PodAddress[]>;
}

/** @throws RipstopError */
async function nodeAt(
  socket: string | undefined,
  file: string | undefined,
  output: TraceOptions['output'],
): Promise<TracedNode | undefined> {
  if (file !== undefined) {
    const { openShown, podsFrom, traceFrom } = await import('../report/report-file.ts');
    const report = openShown(file, output);
    return {
      ask: request => traceFrom(report, request),
      pods: async isNeeded => podsFrom(report, isNeeded),
    };
  }
  return socket === undefined
    ? undefined
    : {
        ask: request => requestTrace(socket, request, TIMEOUT_MS),
        pods: isNeeded => podsAt(socket, isNeeded),
      };
}

/** `ripstop trace`: how this node, and the other one if it is given, would forward the packet. @throws RipstopError */
export async function traceDry(given: TraceOptions): Promise<void> {
  const { socket, peerSocket, from, peerFrom, output } = given;
  const [here, there] = [await nodeAt(socket, from, output), await nodeAt(peerSocket, peerFrom, output)];
  if (!here) return;
  const isNeeded = namesPods(given);
  const pods = (await Promise.all([here, there].map(node => node?.pods(isNeeded) ?? []))).flat();
  const request = requestOf(resolveEnds(given, pods));
  const names = new PodNames(pods);
  const podAt = (address: string) => names.at(address, Date.now());
  const ends = { sourcePod: podAt(request.source), destinationPod: podAt(request.destination) };
  const answers: TraceAnswer[] = [];
  let next = there;
  let first = await here.ask(request);
  if (first.ingressPeer !== null && there) {
    // The source is at the other node.
    next = here;
    first = await there.ask(request);
  }
  answers.push(first);
  if (first.departure && next) {
    const { from, to, payload, port, groupPolicy } = first.departure;
    answers.push(await next.ask({ ...request, arrival: { from, to, payload, port, groupPolicy } }));
  }
  process.stdout.write(
    output
      ? await objectText(output, 'ripstop-trace/1', { nodes: answers, ...ends })
      : showTrace(
          printableValue(answers),
          from === undefined ? '--peer-socket with the socket' : '--peer-from with the report',
          ends,
        ),
  );
  if (answers.some(({ outcome }) => outcome === 'dropped')) process.exitCode = LOST;
  else if (answers.some(({ outcome }) => outcome === 'unknown')) process.exitCode = NOT_KNOWN;
}

/** @throws RipstopError ECONFIG */
export function requestOf(options: TraceOptions): TraceRequest {
  const { src, dst, sport, dport } = options;
  for (const [name, value] of Object.entries({ src, dst }))
    if (isIP(value) === 0) throw new RipstopError('ECONFIG', `--${name}: "${value}" is not an IP address`);
  if (isIP(src) !== isIP(dst))
    throw new RipstopError(
      'ECONFIG',
      `--src ${src} and --dst ${dst} are of different address families`,
      'give two IPv4 or two IPv6 addresses',
    );
  const hasPorts = sport !== undefined || dport !== undefined;
  const protocol = options.proto ?? (hasPorts ? 'tcp' : 'icmp');
  if (protocol === 'icmp' && hasPorts)
    throw new RipstopError(
      'ECONFIG',
      'ICMP has no ports',
      'leave out --sport and --dport, or give --proto tcp or udp',
    );
  return {
    source: canonicalAddress(src),
    destination: canonicalAddress(dst),
    protocol,
    sourcePort: protocol === 'icmp' ? 0 : (sport ?? SOURCE_PORT),
    destinationPort: protocol === 'icmp' ? 0 : (dport ?? DESTINATION_PORT),
    size: options.size ?? (protocol === 'tcp' ? SYN_BYTES[isIP(src) as 4 | 6] : PING_BYTES),
  };
}

/** Columns of the names of the steps, and of a line. */
const NAME_WIDTH = 14;
const LINE_WIDTH = 80;

/** Formats the answers of one or two nodes. @param more what continues the trace, without the name of the node */
export function showTrace(
  answers: readonly TraceAnswer[],
  more = '--peer-socket with the socket',
  ends = NO_PODS,
): string {
  const lines = [new Help().boxWrap(elementAt(answers, 0).packet, LINE_WIDTH)];
  const pods = podPairText(ends);
  if (pods) lines.push(`  ${pods}`);
  for (const { node, steps } of answers) {
    lines.push('', node);
    for (const { step, ok, certain, text } of steps)
      lines.push(...item(`${ok ? (certain ? '  ' : '? ') : '! '}${step}`, text));
  }
  const { remedy, departure } = elementAt(answers, answers.length - 1);
  lines.push('', ...item('verdict:', verdictOf(answers)));
  if (remedy) lines.push(...item('what to do:', remedy));
  else if (departure) lines.push(...item('', `${more} of ${departure.peer} continues the trace there`));
  return `${lines.join('\n')}\n`;
}

/** The verdict of the last node, unless a node before it left something open. */
function verdictOf(answers: readonly TraceAnswer[]): string {
  const { outcome, verdict } = elementAt(answers, answers.length - 1);
  const doubt = answers.flatMap(({ steps }) => steps).find(({ certain }) => !certain);
  return doubt && outcome !== 'dropped' && outcome !== 'unknown' ? unknownVerdict(doubt, verdict) : verdict;
}

/** A name and its text, wrapped at 80 columns. */
function item(name: string, text: string): string[] {
  const lines = new Help().boxWrap(text, LINE_WIDTH - NAME_WIDTH).split('\n');
  return lines.map((line, at) => (at === 0 ? name : '').padEnd(NAME_WIDTH) + line);
}
