import { isIP } from 'node:net';
import { postJson, TRACE_PATH } from '../../../api/client.ts';
import { elementAt } from '../../../base/at.ts';
import { RipstopError } from '../../../base/errors.ts';
import type { TraceAnswer, TraceRequest } from '../../../diagnose/trace/answer.ts';

/** Options as commander hands them over. */
export interface TraceOptions {
  readonly src: string;
  readonly dst: string;
  readonly proto?: 'tcp' | 'udp' | 'icmp';
  readonly sport?: number;
  readonly dport?: number;
  readonly size?: number;
  readonly peerSocket?: string;
  readonly live?: true;
  readonly count?: number;
  readonly json?: true;
  readonly socket: string;
}

/** From where a connection begins when nothing else is said: the ephemeral ports of Linux begin near it. */
const SOURCE_PORT = 40_000;
const DESTINATION_PORT = 80;
/** IP packets of a SYN without options, and of ping's usual size. */
const SYN_BYTES = { 4: 40, 6: 60 } as const;
const PING_BYTES = 84;
const TIMEOUT_MS = 10_000;
const LOST = 1;

/** `ripstop trace`: what the node, and with its socket the other one, would do with the packet. @throws RipstopError */
export async function traceDry(options: TraceOptions): Promise<void> {
  const request = requestOf(options);
  const ask = (socket: string, more: Partial<TraceRequest> = {}) =>
    postJson<TraceAnswer>(socket, TRACE_PATH, { ...request, ...more }, TIMEOUT_MS);
  const answers: TraceAnswer[] = [];
  let [here, there] = [options.socket, options.peerSocket];
  let first = await ask(here);
  if (first.ingressPeer !== null && there !== undefined) {
    // The packet begins at the other node.
    [here, there] = [there, here];
    first = await ask(here);
  }
  answers.push(first);
  if (first.departure && there !== undefined) {
    const { from, to, payload } = first.departure;
    answers.push(await ask(there, { arrival: { from, to, payload } }));
  }
  process.stdout.write(options.json ? `${JSON.stringify(answers, null, 2)}\n` : showTrace(answers));
  if (answers.some(answer => answer.outcome === 'dropped')) process.exitCode = LOST;
}

/** @throws RipstopError ECONFIG */
export function requestOf(options: TraceOptions): TraceRequest {
  const { src, dst, sport, dport } = options;
  for (const [name, value] of Object.entries({ src, dst }))
    if (isIP(value) === 0) throw new RipstopError('ECONFIG', `--${name}: "${value}" is no IP address`);
  if (isIP(src) !== isIP(dst))
    throw new RipstopError(
      'ECONFIG',
      `${src} and ${dst} are of different families`,
      'a packet has addresses of one',
    );
  const hasPorts = sport !== undefined || dport !== undefined;
  const protocol = options.proto ?? (hasPorts ? 'tcp' : 'icmp');
  if (protocol === 'icmp' && hasPorts)
    throw new RipstopError(
      'ECONFIG',
      'ICMP has no ports',
      'leave out --sport and --dport, or say --proto tcp',
    );
  return {
    source: src,
    destination: dst,
    protocol,
    sourcePort: protocol === 'icmp' ? 0 : (sport ?? SOURCE_PORT),
    destinationPort: protocol === 'icmp' ? 0 : (dport ?? DESTINATION_PORT),
    size: options.size ?? (protocol === 'tcp' ? SYN_BYTES[isIP(src) as 4 | 6] : PING_BYTES),
  };
}

/** Width of the names of the steps, and of a line. */
const NAME_WIDTH = 14;
const LINE_WIDTH = 80;

/** The answers of one or two nodes as text. */
export function showTrace(answers: readonly TraceAnswer[]): string {
  const lines = wrapped('', elementAt(answers, 0).packet);
  for (const { node, steps } of answers) {
    lines.push('', node);
    for (const { step, ok, text } of steps)
      lines.push(...wrapped(`${ok ? '  ' : '! '}${step}`.padEnd(NAME_WIDTH), text));
  }
  const last = elementAt(answers, answers.length - 1);
  lines.push('', ...wrapped('verdict: '.padEnd(NAME_WIDTH), last.verdict));
  if (last.remedy) lines.push(...wrapped('what to do: '.padEnd(NAME_WIDTH), last.remedy));
  else if (last.departure)
    lines.push(
      ...wrapped(
        ''.padEnd(NAME_WIDTH),
        `--peer-socket with the socket of ${last.departure.peer} goes on there`,
      ),
    );
  return `${lines.join('\n')}\n`;
}

/** Words behind a head, broken at 80 columns. */
function wrapped(head: string, text: string): string[] {
  const lines: string[] = [];
  let line = head;
  let isEmpty = true;
  for (const word of text.split(' ')) {
    if (!isEmpty && line.length + 1 + word.length > LINE_WIDTH) {
      lines.push(line);
      line = ' '.repeat(NAME_WIDTH);
      isEmpty = true;
    }
    line += isEmpty ? word : ` ${word}`;
    isEmpty = false;
  }
  return [...lines, line];
}
