import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { writeFileAtomicSync } from '../base/atomic-file.ts';
import { RipstopError } from '../base/errors.ts';
import { fail, listOf, openObject, parseJson, required, text } from '../base/schema.ts';
import { isRipstopPlugin, RIPSTOP_MARK } from './delegate/find.ts';
import { PLUGIN_NAMES } from './plugins.ts';
import { DEFAULT_CALLS_DIR } from './shim/recorded.ts';
import { DEFAULT_SOCKET } from './shim/serve.ts';

const DEFAULT_BIN_DIR = '/opt/cni/bin';
export const CONF_NAME = '10-ripstop.conflist';

export interface InstallOptions {
  /** Directory of the executables. */
  binDir?: string;
  /** Directory of network configurations; undefined: none is written. */
  confDir?: string | undefined;
  /** File with the configuration list to install; undefined: a list of the plugin `ripstop` alone. */
  confFile?: string | undefined;
  /** Overwrite plugins of the same name that Ripstop did not install. */
  force?: boolean;
  /** Socket of the agent. */
  socket?: string;
  /** Directory in which DEL and GC are recorded while no agent answers. */
  callsDir?: string;
  /** For a node without an agent: the executables start this Node where no agent answers, and record nothing. */
  standalone?: boolean;
  /** Plugins to install; default: all. */
  names?: readonly string[];
}

interface InstallResult {
  /** Files written, in order. */
  written: string[];
  /** Files that Ripstop did not install and therefore kept. */
  kept: string[];
}

/** Where the build puts launcher, bundle and executable: `dist/cni`. */
function library(): string {
  return fileURLToPath(new URL('.', import.meta.url)).replace(/(?:dist\/)?src\/cni\/$/, 'dist/cni/');
}

/** The executable: the one that a build of this machine made or, in an installed package, the prebuilt one. */
function shimFile(): string {
  const built = `${library()}shim`;
  if (existsSync(built)) return built;
  const prebuilt = normalize(`${library()}../../prebuilds/${process.platform}-${process.arch}/cni-shim`);
  if (existsSync(prebuilt)) return prebuilt;
  throw new RipstopError(
    'ENOENT',
    `the executable of the CNI plugins is missing: neither ${built} nor ${prebuilt} exists`,
    'in a checkout build it with "npm run build", otherwise install the package again',
  );
}

/** Where the executable has its settings: a block of zeros behind this mark (shim.c, `block`). */
const SETTINGS_MARK = 'ripstop-cni-settings\0';
const SETTINGS_SIZE = 4096;

/** The executable with its settings, and the mark by which it is known as ours at its end. */
function executable({ socket, callsDir, standalone }: InstallOptions): Buffer {
  const shim = shimFile();
  const program = readFileSync(shim);
  const at = program.indexOf(SETTINGS_MARK, 0, 'latin1');
  if (at < 0) throw new RipstopError('EBADMSG', `${shim} has no block of settings`, 'build it again');
  const inProcess = standalone ? [process.execPath, `${library()}launch.cjs`] : ['', ''];
  const settings = [socket ?? DEFAULT_SOCKET, callsDir ?? DEFAULT_CALLS_DIR, ...inProcess];
  const texts = Buffer.from(settings.map(text => `${text}\0`).join(''));
  if (texts.length > SETTINGS_SIZE - SETTINGS_MARK.length) {
    throw new RipstopError(
      'ENAMETOOLONG',
      'the paths of socket, directory of calls, Node and launcher are too long for the executable',
      `they may have ${SETTINGS_SIZE - SETTINGS_MARK.length} bytes together`,
    );
  }
  texts.copy(program, at + SETTINGS_MARK.length);
  return Buffer.concat([program, Buffer.from(RIPSTOP_MARK)]);
}

/**
 * Compiles the bundle of the plugins for this Node. Where the directory is read-only it is compiled in each call instead, which
 * takes longer and is not an error.
 */
function compileBundle(): void {
  spawnSync(process.execPath, [`${library()}launch.cjs`, '--cache-missing'], { stdio: 'ignore' });
}

/**
 * The network that `ripstop cni install` configures: everything in one plugin, done by the agent. Runtimes that know
 * version 1.1 take it, older ones 1.0.
 */
function defaultConf(): string {
  const list = {
    cniVersion: '1.0.0',
    cniVersions: ['0.4.0', '1.0.0', '1.1.0'],
    name: 'ripstop',
    plugins: [{ type: 'ripstop', capabilities: { portMappings: true, bandwidth: true, mac: true } }],
  };
  return `${JSON.stringify(list, null, 2)}\n`;
}

const confList = openObject(
  {
    name: required(text('a name', 'name of the network', /./)),
    cniVersion: text('a version', 'version of the specification', /^\d+\.\d+\.\d+$/),
    plugins: required(
      listOf(openObject({ type: required(text('a name', 'plugin', /^[^/]+$/)) }, 'a plugin')),
    ),
  },
  'a configuration list of the CNI specification',
);

/** The text of a configuration list that a runtime can use. @throws RipstopError ECONFIG names file and key */
function readConfList(file: string): string {
  const content = readFileSync(file, 'utf8');
  const { plugins } = confList.read(parseJson(content, file), file);
  if (plugins.length === 0) fail(`${file}.plugins`, 'is empty', 'a list has at least one plugin');
  return content;
}

/**
 * Puts the executables, and behind them the configuration, in place: a runtime that sees the configuration finds the
 * plugins. A plugin that Ripstop did not install stays unless `force` is given.
 * @throws RipstopError when the build is missing; errors of the file system
 */
export function installCni(options: InstallOptions = {}): InstallResult {
  const binDir = options.binDir ?? DEFAULT_BIN_DIR;
  const content = executable(options);
  const conf = options.confFile === undefined ? defaultConf() : readConfList(options.confFile);
  if (options.standalone) compileBundle();
  const written: string[] = [];
  const kept: string[] = [];
  mkdirSync(binDir, { recursive: true, mode: 0o755 });
  for (const name of options.names ?? PLUGIN_NAMES) {
    const file = `${binDir}/${name}`;
    if (!options.force && existsSync(file) && !isRipstopPlugin(file)) {
      kept.push(file);
      continue;
    }
    // Files of their own, not hard links to one: installers of other plugins overwrite a file in place (cp), and would
    // replace all plugins with it.
    writeFileAtomicSync(file, content, 0o755);
    written.push(file);
  }
  if (options.confDir) {
    mkdirSync(options.confDir, { recursive: true, mode: 0o755 });
    const file = `${options.confDir}/${CONF_NAME}`;
    writeFileAtomicSync(file, conf, 0o644);
    written.push(file);
  }
  return { written, kept };
}

/** Removes what `installCni` wrote: the configuration first, then the executables that are ours. @returns the files */
export function uninstallCni(options: Pick<InstallOptions, 'binDir' | 'confDir'> = {}): string[] {
  const binDir = options.binDir ?? DEFAULT_BIN_DIR;
  const files = [
    ...(options.confDir ? [`${options.confDir}/${CONF_NAME}`] : []),
    ...PLUGIN_NAMES.map(name => `${binDir}/${name}`).filter(
      file => existsSync(file) && isRipstopPlugin(file),
    ),
  ].filter(existsSync);
  for (const file of files) rmSync(file, { force: true });
  return files;
}
