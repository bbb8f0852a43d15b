import { withoutCredentials } from '../../base/credentials.ts';
import { fail } from '../../base/schema.ts';
import { suggest } from '../../base/suggest.ts';
import { FLAGS, type Flag, type FlagGroup, type FlagValue } from './flag-table.ts';
import {
  SETTING_NAMES,
  type SettingLayer,
  type SettingName,
  type SettingValue,
  settingFlag,
} from './settings.ts';

/** The flags of one command. */
export interface FlagSet {
  readonly command: string;
  /** Values of flags that are not given, where they differ from the table. */
  readonly defaults: Readonly<Record<string, FlagValue>>;
  /** Groups that the command does not take: neither a flag nor a variable changes their values. */
  readonly without: readonly FlagGroup[];
}

export const AGENT_FLAGS: FlagSet = { command: 'ripstop agent', defaults: {}, without: [] };

/** Values of all flags by name, and lines that a person should see. */
export class Flags {
  readonly #values: ReadonlyMap<string, FlagValue>;
  readonly #given: ReadonlySet<string>;
  readonly notes: readonly string[];

  constructor(values: ReadonlyMap<string, FlagValue>, given: ReadonlySet<string>, notes: readonly string[]) {
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

  #of(name: string, kind: string): FlagValue {
    const value = this.#values.get(name);
    if (typeof value !== kind) throw new TypeError(`bug: flag ${name} is not of kind ${kind}`);
    return value as FlagValue;
  }
}

/** Name of the environment variable of a flag: flanneld's for its flags, RIPSTOP_ for ours. */
export function variableOf(flag: Flag): string {
  return (flag.own ? 'RIPSTOP_' : 'FLANNELD_') + flag.name.toUpperCase().replaceAll('-', '_');
}

/**
 * Reads the command line in the forms that Go's flag package takes (`-x`, `--x`, `=value` or the next word; a
 * boolean alone is true), then the environment for flags that the command line does not give.
 * @throws RipstopError ECONFIG
 */
export function parseFlags(
  argv: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
  { command, defaults, without }: FlagSet = AGENT_FLAGS,
): Flags {
  const values = new Map<string, FlagValue>();
  const notes: string[] = [];
  const isTaken = ({ group }: Flag): boolean => !without.includes(group);

  for (let at = 0; at < argv.length; at++) {
    const word = argv[at] ?? '';
    const match = /^--?([^=]+)(?:=([\s\S]*))?$/.exec(word);
    if (!match) fail(JSON.stringify(withoutCredentials(word)), 'not a flag', 'flags begin with --');
    const name = match[1] ?? '';
    const flag = FLAGS.find(candidate => candidate.name === name);
    if (!flag || !isTaken(flag)) {
      const names = FLAGS.filter(isTaken).map(known => known.name);
      const near = flag ? undefined : suggest(name, names);
      fail(
        `--${name}`,
        flag ? `not a flag of ${command}` : 'unknown flag',
        near ? `did you mean --${near}?` : `see ${command} --help`,
      );
    }
    let value = match[2];
    if (value === undefined) {
      if (flag.kind === 'boolean') value = 'true';
      else value = argv[++at];
      if (value === undefined) fail(`--${name}`, 'its value is missing');
    }
    take(values, flag, value, `--${name}`);
    if (flag.inert) notes.push(`--${name} has no effect: ${flag.inert}`);
  }
  const given = new Set(values.keys());
  for (const flag of FLAGS) {
    if (values.has(flag.name)) continue;
    const text = isTaken(flag) ? env[variableOf(flag)] : undefined;
    if (text) {
      for (const part of flag.splitVariable ? text.split(',') : [text])
        take(values, flag, part, variableOf(flag));
      given.add(flag.name);
      if (flag.inert) notes.push(`${variableOf(flag)} has no effect: ${flag.inert}`);
    } else values.set(flag.name, defaults[flag.name] ?? flag.fallback);
  }
  for (const name of Object.keys(env))
    if (name.startsWith('FLANNELD_') && !FLAGS.some(flag => variableOf(flag) === name))
      notes.push(`ignoring the variable ${name}: no flag has this name`);
  return new Flags(values, given, notes);
}

function take(values: Map<string, FlagValue>, flag: Flag, given: string, where: string): void {
  const refuse = (what: string): never => fail(where, `${JSON.stringify(given)} is not ${what}`, flag.doc);
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
