import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { CniError, CODE } from './errors.ts';
import { checkContainerId, checkInterfaceName } from './names.ts';

/** The commands that a plugin handles; VERSION is answered before the environment is read. */
export type Command = 'ADD' | 'DEL' | 'CHECK' | 'GC' | 'STATUS';
export type Environment = Record<string, string | undefined>;

/** Variable in which the executable passes its working directory (shim.c). */
export const CWD = 'RIPSTOP_CWD';

/** The parameters that come by environment (specification 1.1, "Parameters"). Absent ones are ''. */
export interface Parameters {
  command: Command;
  containerId: string;
  netns: string;
  ifname: string;
  /** CNI_ARGS as given: `K=V;K=V`. */
  args: string;
  /** Working directory of the runtime. Relative paths of its environment and configuration start there. */
  cwd: string;
  /** Directories of CNI_PATH, absolute. */
  path: string[];
}

const COMMANDS: readonly string[] = ['ADD', 'DEL', 'CHECK', 'GC', 'STATUS', 'VERSION'];

/** Which command needs which variable; the order is the order of the error's list. */
const REQUIRED: readonly { name: string; by: readonly Command[] }[] = [
  { name: 'CNI_CONTAINERID', by: ['ADD', 'DEL', 'CHECK'] },
  { name: 'CNI_NETNS', by: ['ADD', 'CHECK'] },
  { name: 'CNI_IFNAME', by: ['ADD', 'DEL', 'CHECK'] },
  { name: 'CNI_PATH', by: ['ADD', 'DEL', 'CHECK', 'GC', 'STATUS'] },
];

/**
 * Reads and checks the environment.
 * @throws CniError 4: unknown command, one list of every missing variable, or an unsafe id or interface name
 */
export function readEnvironment(env: Environment): Parameters {
  const command = env.CNI_COMMAND ?? '';
  if (!COMMANDS.includes(command)) {
    throw new CniError(
      CODE.INVALID_ENVIRONMENT,
      `unknown CNI_COMMAND: ${command}`,
      `it takes ${COMMANDS.join(', ')}`,
    );
  }
  const missing = REQUIRED.filter(({ name, by }) => by.includes(command as Command) && !env[name]);
  if (missing.length > 0) {
    const names = missing.map(variable => variable.name).join(',');
    throw new CniError(CODE.INVALID_ENVIRONMENT, `required env variables [${names}] missing`);
  }
  const cwd = cwdOf(env);
  const parameters: Parameters = {
    command: command as Command,
    containerId: env.CNI_CONTAINERID ?? '',
    netns: env.CNI_NETNS ?? '',
    ifname: env.CNI_IFNAME ?? '',
    args: env.CNI_ARGS ?? '',
    cwd,
    path: (env.CNI_PATH ?? '')
      .split(':')
      .filter(directory => directory !== '')
      .map(directory => resolve(cwd, directory)),
  };
  if (command === 'ADD' || command === 'DEL' || command === 'CHECK') {
    checkContainerId(parameters.containerId);
    checkInterfaceName(parameters.ifname);
  }
  return parameters;
}

/** Working directory of the runtime; `/` where the executable could not pass one, because the directory is deleted. */
export const cwdOf = (env: Environment): string => env[CWD] || '/';

/** The directory in which a program is started for the runtime; `/` where this process does not see the runtime's. */
export const visibleCwd = ({ cwd }: Pick<Parameters, 'cwd'>): string => (existsSync(cwd) ? cwd : '/');

/** True for the texts that Go's strconv.ParseBool reads as true. */
export function isGoTrue(text: string | undefined): boolean {
  return ['1', 't', 'T', 'true', 'TRUE', 'True'].includes(text ?? '');
}
