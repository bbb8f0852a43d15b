import { RipstopError } from '../base/errors.ts';
import { type Node, UNDERLAY_DEVICE, UNDERLAY_MTU } from './topology.ts';

/** Conditions of the underlay, each for packets that leave a node. */
export interface LinkConditions {
  /** Bits per second of Ethernet frames. */
  rate?: number;
  /** Delay of one direction, microseconds. */
  delay?: number;
  /** Per cent of packets that are lost. */
  loss?: number;
}

const RATE_UNITS: Readonly<Record<string, number>> = { bit: 1, kbit: 1e3, mbit: 1e6, gbit: 1e9 };
const DELAY_UNITS: Readonly<Record<string, number>> = { us: 1, ms: 1e3, s: 1e6 };
/** The smallest rate of which TBF can be told. */
const RATE_MIN = 8000;
const DELAY_MAX = 60_000_000;

/** Bursts of a token bucket: as many bytes as its rate carries in this time, and two full frames at least. */
const BURST_SECONDS = 0.001;
const BURST_MIN = 2 * (UNDERLAY_MTU + 14);
/** Longest wait in the queue of a token bucket; what would wait longer is dropped. */
const QUEUE = '50ms';
/** Packets that netem holds at once, for 10 Gbit/s over 100 ms. */
const NETEM_PACKETS = 100_000;

/**
 * Reads `1gbit,1ms,0.1%`: a rate, a delay and a loss, each once at most, in any order.
 * @throws RipstopError ECONFIG
 */
export function readLink(text: string): LinkConditions {
  const link: LinkConditions = {};
  for (const word of text.split(',')) {
    const [, digits = '', unit = ''] = /^(\d+(?:\.\d+)?)([a-z]+|%)$/i.exec(word.trim()) ?? [];
    const value = Number(digits);
    const letters = unit.toLowerCase();
    const rate = value * (RATE_UNITS[letters] ?? Number.NaN);
    const delay = value * (DELAY_UNITS[letters] ?? Number.NaN);
    if (link.rate === undefined && rate >= RATE_MIN) link.rate = Math.round(rate);
    else if (link.delay === undefined && delay >= 1 && delay <= DELAY_MAX) link.delay = Math.round(delay);
    else if (link.loss === undefined && letters === '%' && value > 0 && value <= 100) link.loss = value;
    else
      throw new RipstopError(
        'ECONFIG',
        `link "${text}": "${word}" is not a condition, or is a second one of its kind`,
        'a rate from 8kbit, a delay of one direction from 1us to 60s, and a loss: 1gbit,1ms,0.1%',
      );
  }
  return link;
}

/**
 * Sets the conditions on the underlay device of every node: the rate by TBF, delay and loss by netem.
 * @throws RipstopError ENOTSUP where the kernel lacks what a condition takes
 */
export function setLink(nodes: readonly Node[], { rate, delay, loss }: LinkConditions): void {
  const netem = [
    ...(delay === undefined ? [] : ['delay', `${delay}us`]),
    ...(loss === undefined ? [] : ['loss', `${loss}%`]),
  ];
  for (const node of nodes) {
    if (netem.length > 0)
      addQdisc(node, 'netem', ['root', 'handle', '1:', 'netem', 'limit', `${NETEM_PACKETS}`, ...netem]);
    if (rate === undefined) continue;
    const place = netem.length > 0 ? ['parent', '1:1', 'handle', '10:'] : ['root', 'handle', '10:'];
    const burst = Math.ceil(Math.max(BURST_MIN, (rate / 8) * BURST_SECONDS));
    addQdisc(node, 'tbf', [...place, 'tbf', 'rate', `${rate}bit`, 'burst', `${burst}`, 'latency', QUEUE]);
  }
}

const TAKES: Readonly<Record<string, string>> = { tbf: 'a rate takes', netem: 'delay and loss take' };

function addQdisc({ ns }: Node, kind: 'tbf' | 'netem', words: readonly string[]): void {
  const command = ['tc', 'qdisc', 'add', 'dev', UNDERLAY_DEVICE, ...words];
  const { code, stderr } = ns.attempt(command);
  if (code === 0) return;
  if (/unknown|No such file/i.test(stderr))
    throw new RipstopError(
      'ENOTSUP',
      `this kernel has no queueing discipline ${kind}, which ${TAKES[kind]}`,
      `load it with "modprobe sch_${kind}", or leave out the condition`,
    );
  throw new RipstopError('ECOMMAND', `${command.join(' ')} failed (${code}): ${stderr.trim()}`);
}
