import { type LogFn, type Logger, pino } from 'pino';
import { RipstopError } from './errors.ts';
import { Repeats } from './logging/repeats.ts';
import { logStream } from './logging/stream.ts';

export type Log = Logger;

/** Names that `--log-level` takes, the most talkative first. */
export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'silent'] as const;

/** Parts of the agent whose level can be set by itself. Each logs with its name in the field `component`. */
export const LOG_COMPONENTS = [
  'agent',
  'api',
  'dataplane',
  'lease',
  'overlay',
  'probe',
  'rules',
  'store',
] as const;

export type LogComponent = (typeof LOG_COMPONENTS)[number];

/** Warnings and errors are the levels whose repeated messages are counted instead of printed. */
const WARN = 40;

/**
 * A log on standard error; standard output stays free for results. A message of level warn or error that is repeated within
 * a minute is printed once, and once more with the number of repetitions.
 * @param levels as `--log-level` has them
 * @param format `text`, `json`, or `auto`: text on a terminal and in the journal, JSON elsewhere
 * @throws RipstopError ECONFIG for unknown levels
 */
export function createLog(levels = 'info', format = 'auto'): Log {
  const state: State = { root: undefined, current: parseLevels(levels), components: new Map() };
  const repeats = new Repeats();
  const log: Log = pino(
    {
      level: state.current.level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: label => ({ level: label }) },
      hooks: {
        logMethod(args: Parameters<LogFn>, method: LogFn, level: number) {
          if (level < WARN) method.apply(this, args);
          else
            repeats.log(this.bindings().component, args, counted =>
              method.apply(this, counted as Parameters<LogFn>),
            );
        },
      },
    },
    logStream(format),
  );
  state.root = log;
  STATES.set(log, state);
  return log;
}

/** The log of a component: its lines have the field `component`, and its level can be set by itself. */
export function componentLog(log: Log, component: LogComponent): Log {
  const state = STATES.get(log);
  if (!state?.root) return log;
  let child = state.components.get(component);
  if (!child) {
    child = state.root.child({ component }, { level: levelOf(component, state.current) });
    state.components.set(component, child);
    STATES.set(child, state);
  }
  return child;
}

/** The levels of a log that `createLog` made, as `--log-level` has them. */
export function logLevels(log: Log): string {
  return STATES.get(log)?.current.text ?? log.level;
}

/** Changes the levels of a log and of all its components at once. @throws RipstopError ECONFIG, and nothing is changed */
export function setLogLevels(log: Log, text: string): void {
  const state = STATES.get(log);
  if (!state?.root) throw new Error('not a log of createLog');
  state.current = parseLevels(text);
  state.root.level = state.current.level;
  for (const [component, child] of state.components) child.level = levelOf(component, state.current);
}

function levelOf(component: LogComponent, { level, components }: Levels): string {
  return components.get(component) ?? level;
}

interface State {
  root: Log | undefined;
  current: Levels;
  readonly components: Map<LogComponent, Log>;
}

const STATES = new WeakMap<Log, State>();

interface Levels {
  readonly text: string;
  readonly level: string;
  readonly components: ReadonlyMap<LogComponent, string>;
}

/** Reads `LEVEL` or `LEVEL,COMPONENT=LEVEL,…`. */
function parseLevels(text: string): Levels {
  let level = 'info';
  const components = new Map<LogComponent, string>();
  for (const part of text.split(',')) {
    const [left = '', right] = part.trim().split('=');
    const named = right ?? left;
    if (!LOG_LEVELS.some(known => known === named))
      throw new RipstopError(
        'ECONFIG',
        `--log-level: unknown level ${JSON.stringify(named)}`,
        `there are ${LOG_LEVELS.join(', ')}`,
      );
    if (right === undefined) level = left;
    else if (isComponent(left)) components.set(left, right);
    else
      throw new RipstopError(
        'ECONFIG',
        `--log-level: unknown component ${JSON.stringify(left)}`,
        `there are ${LOG_COMPONENTS.join(', ')}`,
      );
  }
  return { text, level, components };
}

function isComponent(name: string): name is LogComponent {
  return LOG_COMPONENTS.some(known => known === name);
}
