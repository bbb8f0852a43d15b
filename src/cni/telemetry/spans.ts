import { type Clock, monotonicMs } from '../../base/clock.ts';
import { given } from '../result/types.ts';
import type { Environment } from '../skel/environment.ts';
import { toCniError } from '../skel/errors.ts';
import { childOf, formatTraceParent, parseTraceParent, type TraceContext } from './context.ts';

/** One call of one plugin. */
export interface Span {
  context: TraceContext;
  parentSpanId: string | undefined;
  /** TRACESTATE as given. */
  state: string | undefined;
  name: string;
  attributes: Readonly<Record<string, string>>;
  /** Milliseconds since 1970, with a fraction. */
  began: number;
  ended: number;
  /** Why the call failed. */
  error: { code: number; message: string } | undefined;
}

/** The spans of one invocation: that of its plugin, and those of the delegates that ran in this process. */
export class SpanLog {
  readonly spans: Span[] = [];
  readonly #now: Clock;

  /** @param wall is read once, so that a clock step during the call does not shift the spans against each other */
  constructor(wall: Clock = Date.now, clock: Clock = monotonicMs) {
    const origin = wall() - clock();
    this.#now = () => origin + clock();
  }

  /**
   * Runs a plugin's work as a span below the one that TRACEPARENT names.
   * @param work gets the environment for further plugins, whose spans become children of this one
   */
  async record<T>(plugin: string, env: Environment, work: (env: Environment) => Promise<T>): Promise<T> {
    const parent = parseTraceParent(env.TRACEPARENT);
    const context = childOf(parent);
    const span: Span = {
      context,
      parentSpanId: parent?.spanId,
      state: parent && env.TRACESTATE,
      name: `${plugin} ${env.CNI_COMMAND ?? ''}`,
      attributes: given({
        'cni.plugin': plugin,
        'cni.command': env.CNI_COMMAND ?? '',
        'cni.container_id': env.CNI_CONTAINERID ?? '',
        'cni.ifname': env.CNI_IFNAME ?? '',
        'cni.netns': env.CNI_NETNS ?? '',
      }),
      began: this.#now(),
      ended: 0,
      error: undefined,
    };
    try {
      return await work({ ...env, TRACEPARENT: formatTraceParent(context) });
    } catch (error) {
      const { code, message } = toCniError(error);
      span.error = { code, message };
      throw error;
    } finally {
      span.ended = this.#now();
      if (context.sampled) this.spans.push(span);
    }
  }
}
