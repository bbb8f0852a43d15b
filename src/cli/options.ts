import { join } from 'node:path';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { pathsOf } from '../agent/inputs/paths.ts';
import { DEFAULT_SOCKET, SOCKET_NAME } from '../api/client.ts';
import { RipstopError } from '../base/errors.ts';
import { OUTPUTS, type Output } from './json/print.ts';

/* Options that several commands have, and parsers of option values for commander. */

export const SOCKET = new Option('--socket <path>', "path of the agent's socket").default(
  DEFAULT_SOCKET,
  DEFAULT_SOCKET,
);
const INSTANCE = new Option('--instance <name>', 'name of the agent instance (default: none)').env(
  'RIPSTOP_INSTANCE',
);
export const BIN_DIR = new Option('--bin-dir <path>', 'directory of the executables').default(
  '/opt/cni/bin',
  '/opt/cni/bin',
);
export const CONF_DIR = new Option('--conf-dir <path>', 'directory of the network configurations').default(
  '/etc/cni/net.d',
  '/etc/cni/net.d',
);

export interface OutputOptions {
  /** Undefined: for a person. */
  readonly output?: Output;
}

/** Lets a command print objects. @param many what it prints more than one of, if it does */
export function addOutput(command: Command, many?: string): Command {
  const what = `print ${many ? `one object per ${many}` : 'an object'} (default: text for a person)`;
  return command
    .addOption(new Option('-j, --json', 'the same as -o json').implies({ output: 'json' }))
    .addOption(new Option('-o, --output <format>', what).choices(OUTPUTS).argParser(output));
}

/** Lets a command read a report instead of asking the agent. @param others its options that need an agent */
export function addFrom(command: Command, others: readonly string[] = []): Command {
  return command.addOption(
    new Option(
      '--from <file>',
      'file of `ripstop report` to read, on any machine and without root, instead of asking an agent',
    ).conflicts(['socket', ...others]),
  );
}

/** Lets every command that asks an agent choose it by the name of its instance as well. */
export function addInstance(program: Command): void {
  for (const command of program.commands)
    if (command.options.includes(SOCKET)) command.addOption(INSTANCE).hook('preAction', resolveInstance);
}

/** The socket of the instance that was named. @throws RipstopError ECONFIG */
function resolveInstance(_: Command, command: Command): void {
  const { instance } = command.opts<{ instance?: string }>();
  const isSocketGiven = command.getOptionValueSource('socket') === 'cli';
  if (instance === undefined || instance === '') return;
  if (!isSocketGiven) command.setOptionValue('socket', join(pathsOf(instance).stateDir, SOCKET_NAME));
  else if (command.getOptionValueSource('instance') === 'cli')
    throw new RipstopError('ECONFIG', '--socket and --instance name the same thing', 'leave out one of them');
}

/** A parser of the format: after the short option, kubectl takes `-o=yaml` as well. */
function output(text: string): Output {
  const format = OUTPUTS.find(name => name === text.replace(/^=/, ''));
  if (format) return format;
  throw new InvalidArgumentError(`Allowed choices are ${OUTPUTS.join(', ')}.`);
}

/** A comma-separated list; the option may also be repeated. */
export function list(text: string, before: string[] = []): string[] {
  return [...before, ...text.split(',').map(word => word.trim())].filter(word => word !== '');
}

/** A parser of integers within `min..max`. */
export function integerOption(min: number, max: number): (text: string) => number {
  return text => {
    const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
    if (value >= min && value <= max) return value;
    throw new InvalidArgumentError(`Expected an integer from ${min} to ${max}.`);
  };
}

/** Whole seconds of `30s`, `5m`, `1h` or a plain number. */
export function seconds(text: string): number {
  const [, digits, unit = ''] = /^(\d{1,6})([smh]?)$/i.exec(text) ?? [];
  const value = digits ? Number(digits) * 60 ** Math.max(0, ['s', 'm', 'h'].indexOf(unit.toLowerCase())) : 0;
  if (value >= 1 && value <= 86_400) return value;
  throw new InvalidArgumentError('Expected a time from 1s to 24h, e.g. 30s or 5m.');
}

/** Bytes of `500k`, `100M`, `1G` or a plain number; the letters are powers of 1024. */
export function size(text: string): number {
  const [, digits, unit = ''] = /^(\d{1,9})([kmg]?)$/i.exec(text) ?? [];
  const bytes = digits ? Number(digits) * 1024 ** ['', 'k', 'm', 'g'].indexOf(unit.toLowerCase()) : 0;
  if (bytes >= 1024) return bytes;
  throw new InvalidArgumentError('Expected a size of at least 1k, e.g. 500k, 100M or 1G.');
}
