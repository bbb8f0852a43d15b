import type { Result } from '../result/types.ts';
import { type Environment, overridesNamespaceCheck, readEnvironment } from './environment.ts';
import { CniError, CODE } from './errors.ts';
import { checkNetworkName } from './names.ts';
import { refuseOwnNamespace, requireNamespace } from './namespace.ts';
import type { Call, Host, Plugin } from './plugin.ts';
import { isAtLeast, negotiate } from './version.ts';

/** What a command came to: the call as it was understood, and for ADD the result. */
export interface Outcome {
  call: Call;
  result: Result | undefined;
}

/** The configuration on standard input. @throws CniError 6 for anything but a JSON object */
export function parseConfig(stdin: string): Record<string, unknown> {
  let parsed: unknown;
  try {
    parsed = JSON.parse(stdin);
  } catch (error) {
    throw new CniError(CODE.DECODE_FAILURE, `error unmarshall network config: ${(error as Error).message}`);
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) {
    throw new CniError(CODE.DECODE_FAILURE, 'error unmarshall network config: it is not a JSON object');
  }
  return parsed as Record<string, unknown>;
}

/**
 * Checks one invocation and runs its handler. Everything that can be known from environment and configuration is
 * refused here, before the handler touches anything: the Go library compares the namespaces only afterwards.
 * @throws CniError
 */
export async function execute(plugin: Plugin, env: Environment, stdin: string, host: Host): Promise<Outcome> {
  const work = (given: Environment) => perform(plugin, given, stdin, host);
  return host.spans ? host.spans.record(plugin.name, env, work) : work(env);
}

async function perform(plugin: Plugin, env: Environment, stdin: string, host: Host): Promise<Outcome> {
  const parameters = readEnvironment(env);
  if (parameters.command === 'VERSION') {
    throw new CniError(CODE.INVALID_ENVIRONMENT, 'VERSION has no configuration to run');
  }
  const config = parseConfig(stdin);
  const version = negotiate(config.cniVersion, plugin.versions);
  const handler = plugin.commands[parameters.command];
  if (!isAtLeast(version, handler.since)) {
    throw new CniError(
      CODE.INCOMPATIBLE_VERSION,
      `config version does not allow ${parameters.command}`,
      `config is "${version}", ${parameters.command} exists since "${handler.since}"`,
    );
  }
  checkNetworkName(config.name);
  const { command, netns } = parameters;
  if ((command === 'ADD' || command === 'DEL') && !overridesNamespaceCheck(env)) {
    refuseOwnNamespace(host.namespaces, netns, host.netns);
  }
  if (plugin.netns === 'entered' && (command === 'ADD' || command === 'CHECK')) {
    requireNamespace(host.namespaces, netns);
  }
  const call: Call = { ...parameters, env, stdin, config, name: config.name, version, host };
  const result = await handler.run(call);
  return { call, result: result ?? undefined };
}
