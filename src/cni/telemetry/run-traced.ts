import { describeError } from '../../base/errors.ts';
import { postOtlp } from '../../base/otlp.ts';
import type { Environment } from '../skel/environment.ts';
import type { Host, Plugin } from '../skel/plugin.ts';
import { run, type Streams } from '../skel/run.ts';
import { collectorOf, encodeSpans } from './otlp.ts';
import { SpanLog } from './spans.ts';

/** Longest wait for the collector, ms. The runtime waits for the end of a plugin's own process, not for the agent. */
const PROCESS_LIMIT_MS = 200;
const AGENT_LIMIT_MS = 10_000;

/**
 * One invocation, and a span of each plugin that took part in it where a collector is configured: by the variables of
 * the caller, or by those of this process.
 * @returns the exit status as soon as the answer is out; `exported` is fulfilled when the spans are sent or given up
 */
export async function runTraced(
  plugin: Plugin,
  streams: Streams,
  host: Host,
  own: Environment = process.env,
): Promise<{ status: number; exported: Promise<void> }> {
  const collector = collectorOf({ ...own, ...streams.env });
  if (!collector) return { status: await run(plugin, streams, host), exported: Promise.resolve() };
  const log = new SpanLog();
  const status = await run(plugin, streams, { ...host, spans: log });
  const deliver = async () => {
    if (log.spans.length === 0) return;
    const body = encodeSpans(log.spans, collector.service);
    const limitMs = host.agent ? AGENT_LIMIT_MS : PROCESS_LIMIT_MS;
    await postOtlp(collector, body, limitMs).catch(error => host.log(`trace: ${describeError(error)}`));
  };
  return { status, exported: deliver() };
}
