import { isGoTrue } from '../skel/environment.ts';
import { CniError, CODE } from '../skel/errors.ts';
import type { Call } from '../skel/plugin.ts';
import { macField } from './fields.ts';
import { anyObject, passthroughObject, readIgnoringUnknown } from './ignore-unknown.ts';

/*
 * What a runtime passes in addition to the configuration: capability arguments (`runtimeConfig`), `args.cni`, and the variable
 * CNI_ARGS.
 */

/** Keys that Kubernetes runtimes always send; known to every plugin, used by none of ours. */
const KUBERNETES = ['K8S_POD_NAME', 'K8S_POD_NAMESPACE', 'K8S_POD_INFRA_CONTAINER_ID', 'K8S_POD_UID'];

function bad(problem: string): never {
  throw new CniError(
    CODE.INVALID_ENVIRONMENT,
    `CNI_ARGS: ${problem}`,
    'it takes KEY=VALUE pairs separated by ";"',
  );
}

/**
 * CNI_ARGS as a map. Deprecated by the specification, still the way in which runtimes ask for an address or a MAC.
 * @param known keys that the plugin understands; any other is refused unless IgnoreUnknown is true
 * @throws CniError 4
 */
export function readCniArgs(args: string, known: readonly string[]): Map<string, string> {
  const pairs = new Map<string, string>();
  for (const pair of args.split(';')) {
    if (pair === '') continue;
    const [key, value, extra] = pair.split('=', 3);
    if (!key || value === undefined || extra !== undefined) bad(`invalid pair "${pair}"`);
    pairs.set(key, value);
  }
  const lenient = isGoTrue(pairs.get('IgnoreUnknown'));
  const unknown = [...pairs.keys()].filter(
    key => key !== 'IgnoreUnknown' && !known.includes(key) && !KUBERNETES.includes(key),
  );
  if (unknown.length > 0 && !lenient) bad(`unknown args [${unknown.join(' ')}]`);
  return pairs;
}

const cniField = passthroughObject({ cni: anyObject('parameters of plugins') }, 'parameters of the caller');
const runtimeFields = { runtimeConfig: anyObject('values of declared capabilities'), args: cniField };

/** What the runtime passes for declared capabilities; {} when nothing. */
export function runtimeConfig(call: Call): Record<string, unknown> {
  return readIgnoringUnknown(runtimeFields, call.config, '').runtimeConfig ?? {};
}

/** `args.cni`: parameters in the configuration's own `args` (CONVENTIONS, "args in network config"). */
export function cniArgsOf(config: Record<string, unknown>): Record<string, unknown> {
  return readIgnoringUnknown(runtimeFields, config, '').args?.cni ?? {};
}

/** Requested MAC address of the pod: capability `mac`, then `args.cni.mac`, then CNI_ARGS. @throws CniError 4, ECONFIG */
export function requestedMac(call: Call): string | undefined {
  const ofArgs = readCniArgs(call.args, ['MAC', 'IP', 'GATEWAY']).get('MAC');
  const { mac: ofRuntime } = readIgnoringUnknown({ mac: macField }, runtimeConfig(call), 'runtimeConfig');
  const { mac: ofCni } = readIgnoringUnknown({ mac: macField }, cniArgsOf(call.config), 'args.cni');
  return ofRuntime || ofCni || (ofArgs && macField.read(ofArgs, 'CNI_ARGS MAC')) || undefined;
}
