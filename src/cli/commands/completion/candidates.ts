import type { Argument, Command, Option } from 'commander';

/** One word that completes a line. */
export interface CompletionWord {
  readonly value: string;
  /** One line, or ''. */
  readonly about: string;
}

/** Gives the values of an option or argument by its name; undefined where a file name, or nothing known, is wanted. */
export type ValuesOf = (name: string, socket: string | undefined) => Promise<readonly string[] | undefined>;

/** Where the cursor is. */
interface Position {
  readonly command: Command;
  /** The option whose value is wanted. */
  readonly option: Option | undefined;
  /** Arguments of the command before the cursor. */
  readonly given: number;
  /** Value of --socket, where it was given. */
  readonly socket: string | undefined;
  /** Text before the word that is completed, as in `--verdict=no-peer,`. */
  readonly before: string;
  readonly word: string;
  /** The word begins with a dash, and no `--` stands before it. */
  readonly isOption: boolean;
}

/**
 * The words that complete a command line, sorted as they are declared.
 * @param words those behind the name of the program; the last one is completed and may be ''
 * @returns none where the shell completes file names
 */
export async function candidatesFor(
  program: Command,
  words: readonly string[],
  valuesOf: ValuesOf,
): Promise<CompletionWord[]> {
  const { command, option, given, socket, before, word, isOption } = positionOf(program, words);
  const found = option
    ? await valuesAt(option, socket, valuesOf)
    : isOption
      ? optionsOf(command)
      : [...subcommandsOf(command), ...(await argumentAt(command, given, socket, valuesOf))];
  return found
    .filter(({ value }) => value.startsWith(word))
    .map(({ value, about }) => ({ value: before + value, about }));
}

function positionOf(program: Command, words: readonly string[]): Position {
  let command = program;
  let option: Option | undefined;
  let given = 0;
  let socket: string | undefined;
  let optionsEnded = false;
  for (const word of words.slice(0, -1)) {
    if (option) {
      if (option.long === '--socket') socket = word;
      option = undefined;
    } else if (word === '--') optionsEnded = true;
    else if (word.startsWith('-') && !optionsEnded) {
      const [name = '', value] = word.split(/=(.*)/s);
      const named = optionNamed(command, name);
      if (value !== undefined && named?.long === '--socket') socket = value;
      if (named?.required && value === undefined) option = named;
    } else {
      const subcommand = given === 0 ? command.commands.find(one => one.name() === word) : undefined;
      if (subcommand) command = subcommand;
      else given++;
    }
  }
  let word = words.at(-1) ?? '';
  let before = '';
  if (!option && !optionsEnded && word.startsWith('--') && word.includes('=')) {
    const [name = '', value = ''] = word.split(/=(.*)/s);
    option = optionNamed(command, name);
    before = `${name}=`;
    word = value;
  }
  if (option && word.includes(',')) {
    const end = word.lastIndexOf(',') + 1;
    before += word.slice(0, end);
    word = word.slice(end);
  }
  return { command, option, given, socket, before, word, isOption: word.startsWith('-') && !optionsEnded };
}

const optionNamed = (command: Command, name: string): Option | undefined =>
  command.options.find(({ short, long }) => name !== '' && (name === short || name === long));

function optionsOf(command: Command): CompletionWord[] {
  return command
    .createHelp()
    .visibleOptions(command)
    .map(({ long, short, description }) => ({ value: long ?? short ?? '', about: description }));
}

function subcommandsOf(command: Command): CompletionWord[] {
  return command
    .createHelp()
    .visibleCommands(command)
    .map(one => ({ value: one.name(), about: one.summary() || one.description() }));
}

async function valuesAt(
  { argChoices, long = '' }: Pick<Option, 'argChoices' | 'long'>,
  socket: string | undefined,
  valuesOf: ValuesOf,
): Promise<CompletionWord[]> {
  const values = argChoices ?? (await valuesOf(long, socket)) ?? [];
  return values.map(value => ({ value, about: '' }));
}

async function argumentAt(
  command: Command,
  given: number,
  socket: string | undefined,
  valuesOf: ValuesOf,
): Promise<CompletionWord[]> {
  const argument: Argument | undefined = command.registeredArguments[given];
  if (!argument) return [];
  const name = `${command.name()} ${argument.name()}`;
  return valuesAt({ argChoices: argument.argChoices, long: name } as Option, socket, valuesOf);
}
