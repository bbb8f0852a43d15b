import { withoutSecrets } from '../../base/credentials.ts';
import { messageOf, RipstopError, toError } from '../../base/errors.ts';
import { BINARY_MAX, Bundle } from '../../diagnose/report/bundle.ts';
import { KERNEL_PARTS, type KernelContext } from '../../diagnose/report/kernel-parts.ts';
import type { KernelFile } from '../../diagnose/report/kernel-shapes.ts';
import type { NodeRecord } from '../../diagnose/report/node-shape.ts';
import type { Answer, Status } from '../answers.ts';
import { getBytes, getJson } from '../client.ts';
import { ANSWER_FILES, DROPS_BEFORE, FILE_FIELDS, type ReportPath } from './files.ts';

/*
 * How a report is collected. A part is one entry of the table below. Everything passes the field of its file, so that a key which
 * no reader has stays out. Environment, command line and configuration files are not collected.
 */

interface Context {
  readonly socket: string;
  readonly seconds: number;
  /** What was collected so far. */
  readonly bundle: Bundle;
  /** Why no answer of the agent can be had; undefined while it answers. */
  noAgent?: Error;
}

interface Part {
  readonly file: string;
  /** Bytes of a capture, or the value of a JSON file; undefined: this node has none. @throws the reason why there is none */
  collect(context: Context): Promise<unknown> | unknown;
}

const ANSWER_MS = 10_000;
/** The doctor probes every peer. */
const DOCTOR_MS = 120_000;
const UNCAUGHT = 'withheld: the message of an uncaught error may be of any content';

/** The parts of a report. Those of one row are collected at the same time, and each row begins when the one before has ended. */
const PARTS: readonly (readonly Part[])[] = [
  [{ file: ANSWER_FILES['/status'], collect: statusOf }],
  [
    ...(['/peers', '/routes', '/leases', '/pods', '/pending', '/node', '/log'] as const).map(path =>
      answer(path),
    ),
    { ...answer('/drops'), file: DROPS_BEFORE },
  ],
  [answer('/audit', ({ seconds }) => seconds), kernel('kernel/counters.json')],
  [
    answer('/drops'),
    ...(Object.keys(KERNEL_PARTS) as KernelFile[])
      .filter(file => file !== 'kernel/counters.json')
      .map(file => kernel(file)),
  ],
  [recorder(0), recorder(1)],
  [answer('/doctor')],
];

/**
 * Collects a report. A part that cannot be had is named with the reason.
 * @param seconds between the two readings of the counters
 * @throws the reason of `stop` when it aborts
 */
export async function collectReport(socket: string, seconds: number, stop: AbortSignal): Promise<Bundle> {
  const bundle = new Bundle();
  const context: Context = { socket, seconds, bundle };
  for (const row of PARTS) {
    await Promise.race([Promise.all(row.map(part => add(part, context))), untilAborted(stop)]);
    stop.throwIfAborted();
  }
  return bundle;
}

async function add({ file, collect }: Part, context: Context): Promise<void> {
  const { bundle } = context;
  try {
    const value = await collect(context);
    if (value === undefined) return;
    bundle.files.set(file, value instanceof Uint8Array ? value : shaped(file, value));
  } catch (error) {
    bundle.lack(file, withoutSecrets(reasonOf(toError(error)), process.env));
  }
}

/** The value as its field reads it, without what looks like a secret. */
function shaped(file: string, value: unknown): unknown {
  return withoutSecretsIn(FILE_FIELDS[file]?.read(value, file));
}

function withoutSecretsIn(value: unknown): unknown {
  if (typeof value === 'string') return withoutSecrets(value, process.env);
  if (Array.isArray(value)) return value.map(withoutSecretsIn);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, withoutSecretsIn(part)]));
}

/** @param seconds that the agent works on the answer */
function answer(path: ReportPath, seconds?: (context: Context) => number): Part {
  return {
    file: ANSWER_FILES[path],
    async collect(context) {
      if (context.noAgent) throw context.noAgent;
      const took = seconds?.(context) ?? 0;
      const query = seconds ? `?seconds=${took}` : '';
      const timeoutMs = path === '/doctor' ? DOCTOR_MS : took * 1000 + ANSWER_MS;
      const value = await getJson(context.socket, path, { query, timeoutMs });
      if (value === null) throw new RipstopError('EAGENT', 'the agent has no overlay yet');
      return value;
    },
  };
}

/** The first answer: without it the others are not asked for. */
async function statusOf(context: Context): Promise<Status> {
  try {
    const status = await getJson(context.socket, '/status', { timeoutMs: ANSWER_MS });
    return status.uncaught ? { ...status, uncaught: { ...status.uncaught, message: UNCAUGHT } } : status;
  } catch (error) {
    context.noAgent = toError(error);
    throw error;
  }
}

/** What the flight recorder of an overlay has, where the agent has one. Dual stack has two overlays. */
function recorder(at: number): Part {
  return {
    file: `agent/recorder-${at + 1}.pcapng`,
    collect({ socket, bundle }) {
      const { overlays = [] } = (bundle.files.get(ANSWER_FILES['/node']) ?? {}) as Partial<NodeRecord>;
      const device = overlays[at]?.plane && overlays[at].device;
      if (device === undefined) return undefined;
      const path = `/recorder/pcapng?device=${encodeURIComponent(device)}`;
      return getBytes(socket, path, { max: BINARY_MAX, timeoutMs: ANSWER_MS });
    },
  };
}

function kernel(file: KernelFile): Part {
  return { file, collect: context => KERNEL_PARTS[file](kernelContextOf(context)) };
}

function kernelContextOf({ bundle, seconds }: Context): KernelContext {
  const { netns = '', overlays = [] } = (bundle.files.get(ANSWER_FILES['/node']) ??
    {}) as Partial<NodeRecord>;
  const status = bundle.files.get(ANSWER_FILES['/status']) as Answer<'/status'> | undefined;
  const devices = [status?.underlay?.name, ...overlays.map(({ device }) => device)];
  return {
    ...{ netns, seconds },
    peers: [...new Set(overlays.flatMap(({ peers }) => peers.map(({ address }) => address)))],
    devices: [...new Set(devices.filter(device => device !== undefined))],
  };
}

function reasonOf(error: Error): string {
  const hint = error instanceof RipstopError ? error.hint : undefined;
  return messageOf(error) + (hint === undefined ? '' : `; ${hint}`);
}

function untilAborted(stop: AbortSignal): Promise<void> {
  return new Promise(resolve => stop.addEventListener('abort', () => resolve(), { once: true }));
}
