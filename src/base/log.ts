import { type LogFn, type Logger, pino } from 'pino';
import { RecentLines } from './logging/recent.ts';
import { Repeats } from './logging/repeats.ts';
import { logStream } from './logging/stream.ts';
import { oneOf } from './schema.ts';

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

type LogComponent = (typeof LOG_COMPONENTS)[number];

const LEVEL = oneOf(LOG_LEVELS);
const COMPONENT = oneOf(LOG_COMPONENTS);

/* Numbers that pino gives to its levels. Repeated messages of WARN and above are counted instead of printed. */
const INFO = 30;
const WARN = 40;

/**
 * A log on standard error; standard output stays free for results. A warning or error that is repeated within a minute
 * is counted, and printed once more with the number: when the minute is over, before the next line of level info of its
 * component, or when the process ends.
 * @param levels as `--log-level` has them
 * @param format `text`, `json`, or `auto`: text on a terminal and in the journal, JSON elsewhere
 * @throws RipstopError ECONFIG for unknown levels
 */
export function createLog(levels = 'info', format = 'auto'): Log {
  const current = parseLevels(levels, '--log-level');
  const repeats = new Repeats();
  const recent = new RecentLines(logStream(format));
  const root: Log = pino(
    {
      level: current.level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: label => ({ level: label }) },
      hooks: {
        logMethod(args: Parameters<LogFn>, method: LogFn, level: number) {
          const { component } = this.bindings();
          const print = (line: readonly unknown[]) => method.apply(this, line as Parameters<LogFn>);
          if (level >= WARN) repeats.log(component, args, print);
          else {
            // A message of another state follows: what was counted before it is printed before it.
            if (level === INFO) repeats.flush(component);
            print(args);
          }
        },
      },
    },
    recent,
  );
  process.once('exit', () => repeats.flushAll());
  STATES.set(root, { root, current, recent, components: new Map() });
  return root;
}

/** The log of a component: its lines have the field `component`, and its level can be set by itself. */
export function componentLog(log: Log, component: LogComponent): Log {
  const state = STATES.get(log);
  if (!state) return log;
  let child = state.components.get(component);
  if (!child) {
    child = state.root.child({ component }, { level: levelOf(component, state.current) });
    state.components.set(component, child);
    STATES.set(child, state);
  }
  return child;
}

/** The last lines of a log that `createLog` made, as text, the oldest first. */
export function recentLines(log: Log): readonly string[] {
  return STATES.get(log)?.recent.lines ?? [];
}

/** The levels of a log that `createLog` made, as `--log-level` has them. */
export function logLevels(log: Log): string {
  return STATES.get(log)?.current.text ?? log.level;
}

/**
 * Changes the levels of a log and of all its components at once.
 * @param where names `text` in an error
 * @throws RipstopError ECONFIG, and nothing is changed
 */
export function setLogLevels(log: Log, text: string, where: string): void {
  const state = STATES.get(log);
  if (!state) throw new Error('not a log of createLog');
  state.current = parseLevels(text, where);
  state.root.level = state.current.level;
  for (const [component, child] of state.components) child.level = levelOf(component, state.current);
}

function levelOf(component: LogComponent, { level, components }: Levels): string {
  return components.get(component) ?? level;
}

interface State {
  readonly root: Log;
  current: Levels;
  readonly recent: RecentLines;
  readonly components: Map<LogComponent, Log>;
}

const STATES = new WeakMap<Log, State>();

interface Levels {
  readonly text: string;
  readonly level: string;
  readonly components: ReadonlyMap<LogComponent, string>;
}

/** Reads `LEVEL` or `LEVEL,COMPONENT=LEVEL,…`. */
function parseLevels(text: string, where: string): Levels {
  let level: string = 'info';
  const components = new Map<LogComponent, string>();
  for (const part of text.split(',')) {
    const word = part.trim();
    const at = word.indexOf('=');
    if (at === -1) level = LEVEL.read(word, where);
    else components.set(COMPONENT.read(word.slice(0, at), where), LEVEL.read(word.slice(at + 1), where));
  }
  return { text, level, components };
}
