import { withoutCredentials } from '../../base/credentials.ts';
import { RipstopError } from '../../base/errors.ts';
import { suggest } from '../../base/suggest.ts';
import { FLAGS, type Flag } from './flag-table.ts';
import {
  SETTING_NAMES,
  type SettingLayer,
  type SettingName,
  type SettingValue,
  settingFlag,
} from './settings.ts';

type Value = string | number | boolean | readonly string[];

/** Values of all flags by name, and lines that a person should see. */
export class Flags {
  readonly #values: ReadonlyMap<string, Value>;
  readonly #given: ReadonlySet<string>;
  readonly notes: readonly string[];

  constructor(values: ReadonlyMap<string, Value>, given: ReadonlySet<string>, notes: readonly string[]) {
    this.#values = values;
    this.#given = given;
    this.notes = notes;
  }

  /** The settings of the data plane that the command line or the environment gives. */
  get settings(): SettingLayer {
    const layer = new Map<SettingName, SettingValue>();
    for (const name of SETTING_NAMES) {
      const flag = settingFlag(name);
      const value = this.#values.get(flag);
      if (this.#given.has(flag) && value !== undefined) layer.set(name, value as SettingValue);
    }
    return layer;
  }

  text(name: string): string {
    return this.#of(name, 'string') as string;
  }

  number(name: string): number {
    return this.#of(name, 'number') as number;
  }

  boolean(name: string): boolean {
    return this.#of(name, 'boolean') as boolean;
  }

  list(name: string): readonly string[] {
    return this.#of(name, 'object') as readonly string[];
  }

  #of(name: string, kind: string): Value {
    const value = this.#values.get(name);
    // A wrong name here is a slip in our own code, not in a person's.
    if (typeof value !== kind) throw new TypeError(`flag ${name} is not of kind ${kind}`);
    return value as Value;
  }
}

/** Name of the environment variable of a flag: flanneld's for its flags, RIPSTOP_ for ours. */
export function variableOf(flag: Flag): string {
  return (flag.own ? 'RIPSTOP_' : 'FLANNELD_') + flag.name.toUpperCase().replaceAll('-', '_');
}

/**
 * Reads the command line in the forms that Go's flag package takes (`-x`, `--x`, `=value` or the next word; a
 * boolean alone is true), then the environment for what the command line left open.
 * @param defaults of a command that has others than the table
 * @param fixed values that the command itself gives: neither a flag nor a variable changes them
 * @throws RipstopError ECONFIG
 */
export function parseFlags(
  argv: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
  defaults: Readonly<Record<string, Value>> = {},
  fixed: Readonly<Record<string, Value>> = {},
): Flags {
  const values = new Map<string, Value>();
  const notes: string[] = [];
  const byName = new Map(FLAGS.map(flag => [flag.name, flag]));

  for (let at = 0; at < argv.length; at++) {
    const word = argv[at] ?? '';
    const match = /^--?([^=]+)(?:=([\s\S]*))?$/.exec(word);
    if (!match)
      throw new RipstopError(
        'ECONFIG',
        `${JSON.stringify(withoutCredentials(word))}: not a flag`,
        'flags begin with --',
      );
    const name = match[1] ?? '';
    const flag = byName.get(name);
    if (!flag) {
      const near = suggest(name, [...byName.keys()]);
      throw new RipstopError(
        'ECONFIG',
        `--${name}: unknown flag`,
        near ? `did you mean --${near}?` : 'see ripstop agent --help',
      );
    }
    if (Object.hasOwn(fixed, name))
      throw new RipstopError('ECONFIG', `--${name}: this command gives it itself`, 'leave the flag out');
    let value = match[2];
    if (value === undefined) {
      if (flag.kind === 'boolean') value = 'true';
      else value = argv[++at];
      if (value === undefined) throw new RipstopError('ECONFIG', `--${name}: its value is missing`);
    }
    take(values, flag, value, `--${name}`);
    if (flag.inert) notes.push(`--${name} has no effect: ${flag.inert}`);
  }
  const given = new Set(values.keys());
  for (const flag of FLAGS) {
    if (values.has(flag.name)) continue;
    const own = fixed[flag.name];
    if (own !== undefined) {
      values.set(flag.name, own);
      continue;
    }
    const text = env[variableOf(flag)];
    if (text !== undefined && text !== '') {
      for (const part of flag.kind === 'repeated' ? text.split(',') : [text])
        take(values, flag, part, variableOf(flag));
      given.add(flag.name);
      if (flag.inert) notes.push(`${variableOf(flag)} has no effect: ${flag.inert}`);
    } else values.set(flag.name, defaults[flag.name] ?? flag.fallback);
  }
  for (const name of Object.keys(env))
    if (name.startsWith('FLANNELD_') && !FLAGS.some(flag => variableOf(flag) === name))
      notes.push(`${name} belongs to no flag and is passed over`);
  return new Flags(values, given, notes);
}

function take(values: Map<string, Value>, flag: Flag, given: string, where: string): void {
  const refuse = (what: string): never => {
    throw new RipstopError('ECONFIG', `${where}: ${JSON.stringify(given)} is not ${what}`, flag.doc);
  };
  switch (flag.kind) {
    case 'boolean':
      // The words that Go's strconv.ParseBool takes.
      if (/^(1|t|true)$/i.test(given)) values.set(flag.name, true);
      else if (/^(0|f|false)$/i.test(given)) values.set(flag.name, false);
      else refuse('true or false');
      break;
    case 'number': {
      const [low, high] = flag.range!;
      const value = Number(given);
      if (!/^\d+$/.test(given) || value < low || value > high)
        refuse(`a whole number within ${low}..${high}`);
      values.set(flag.name, value);
      break;
    }
    case 'list':
      values.set(
        flag.name,
        given.split(',').filter(part => part !== ''),
      );
      break;
    case 'repeated':
      values.set(flag.name, [...((values.get(flag.name) as readonly string[] | undefined) ?? []), given]);
      break;
    default:
      if (flag.words && !flag.words.includes(given)) {
        const near = suggest(given, flag.words);
        refuse(near ? `right; did you mean "${near}"?` : `one of ${flag.words.filter(Boolean).join(', ')}`);
      }
      values.set(flag.name, given);
  }
}

/** Help of all flags, one per line, from the table. */
export function describeFlags(defaults: Readonly<Record<string, Value>> = {}): string {
  const width = Math.max(...FLAGS.map(flag => flag.name.length)) + 4;
  return FLAGS.filter(flag => !flag.inert)
    .map(flag => {
      const value = defaults[flag.name] ?? flag.fallback;
      const fallback = Array.isArray(value) ? value.join(',') : String(value);
      return `  --${flag.name.padEnd(width)}${flag.doc}${fallback === '' ? '' : ` [${fallback}]`}`;
    })
    .join('\n');
}
