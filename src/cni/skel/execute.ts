import { messageOf } from '../../base/errors.ts';
import { anyObject } from '../config/ignore-unknown.ts';
import { parseConfiguration, withNames } from '../config/keys.ts';
import type { Result } from '../result/types.ts';
import { type Command, type Environment, isGoTrue, readEnvironment } from './environment.ts';
import { CniError, CODE } from './errors.ts';
import { checkNetworkName } from './names.ts';
import { refuseOwnNamespace, requireNamespace } from './namespace.ts';
import type { Call, Host, Plugin } from './plugin.ts';
import { type CniVersion, isAtLeast, negotiate } from './version.ts';

/** What came on standard input. */
export interface Input {
  stdin: string;
  /** The configuration; empty when `fault` is set. */
  config: Record<string, unknown>;
  /** Why the input is not a valid configuration: code 6. */
  fault: CniError | undefined;
}

/** The keys of every network configuration (specification 1.1, sections 1 and 3), which plugins read by these names. */
const NETWORK_KEYS = [
  'cniVersion',
  'name',
  'type',
  'runtimeConfig',
  'args',
  'ipam',
  'dns',
  'prevResult',
  'cni.dev/valid-attachments',
  'cni.dev/attachments',
];

const object = anyObject('a network configuration');

/** Reads a configuration. Does not throw: the environment is checked first, and its errors name the configuration's version. */
export function parseInput(stdin: string): Input {
  try {
    const config = object.read(parseConfiguration(stdin, 'configuration'), 'configuration');
    return { stdin, config: withNames(NETWORK_KEYS, config), fault: undefined };
  } catch (error) {
    const what = `error unmarshall network config: ${messageOf(error)}`;
    return { stdin, config: {}, fault: new CniError(CODE.DECODE_FAILURE, what) };
  }
}

/**
 * Checks one invocation and runs its handler. Everything that can be known from environment and configuration is
 * refused here, before the handler touches anything: the Go library compares the namespaces only afterwards.
 * @throws CniError
 */
export function execute(
  plugin: Plugin,
  env: Environment,
  { stdin, config, fault }: Input,
  host: Host,
): Promise<{ call: Call; result: Result | undefined }> {
  return recorded(plugin, env, host, async given => {
    const parameters = readEnvironment(given);
    if (fault) throw fault;
    const call = accept({ ...parameters, env: given, config, configText: () => stdin, host });
    checkNamespaces(plugin, call);
    return { call, result: await handle(plugin, call) };
  });
}

/**
 * Runs a command of a further plugin for one that has been checked: names and namespaces are the same.
 * @returns the result of ADD, undefined for the others
 * @throws CniError
 */
export function perform(plugin: Plugin, request: Request): Promise<Result | undefined> {
  return recorded(plugin, request.env, request.host, async env => {
    const call = accept({ ...request, env, config: withNames(NETWORK_KEYS, request.config) });
    return handle(plugin, call);
  });
}

/** A call before its configuration is checked. */
export type Request = Omit<Call, 'name' | 'version'>;

/** Oldest configuration version that has a command (specification 1.1, "Plugin operations"). */
const SINCE: Readonly<Record<Command, CniVersion>> = {
  ADD: '0.1.0',
  DEL: '0.1.0',
  CHECK: '0.4.0',
  GC: '1.1.0',
  STATUS: '1.1.0',
};

/** The call, with version and name of the configuration checked. @throws CniError */
function accept(request: Request): Call {
  const { command, config } = request;
  const version = negotiate(config.cniVersion);
  const since = SINCE[command];
  if (!isAtLeast(version, since)) {
    throw new CniError(
      CODE.INCOMPATIBLE_VERSION,
      `config version does not allow ${command}`,
      `config is "${version}", ${command} exists since "${since}"`,
    );
  }
  checkNetworkName(config.name);
  return { ...request, name: config.name, version };
}

const HANDLERS = { DEL: 'del', CHECK: 'check', GC: 'gc', STATUS: 'status' } as const;

async function handle(plugin: Plugin, call: Call): Promise<Result | undefined> {
  if (call.command === 'ADD') return plugin.add(call);
  await plugin[HANDLERS[call.command]]?.(call);
  return undefined;
}

function checkNamespaces(plugin: Plugin, { command, netns, env, host }: Call): void {
  if ((command === 'ADD' || command === 'DEL') && !isGoTrue(env.CNI_NETNS_OVERRIDE)) {
    refuseOwnNamespace(host.namespaces, netns, host.netns);
  }
  if (plugin.usesNamespace !== false && (command === 'ADD' || command === 'CHECK')) {
    requireNamespace(host.namespaces, netns);
  }
}

/** Runs `work`, as a span of the plugin where a collector of traces is configured. */
function recorded<T>(
  plugin: Plugin,
  env: Environment,
  { spans }: Host,
  work: (env: Environment) => Promise<T>,
): Promise<T> {
  return spans ? spans.record(plugin.name, env, work) : work(env);
}
