import { CniError, CODE } from '../skel/errors.ts';

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
  const lenient = ['1', 't', 'T', 'true', 'TRUE', 'True'].includes(pairs.get('IgnoreUnknown') ?? '');
  const unknown = [...pairs.keys()].filter(
    key => key !== 'IgnoreUnknown' && !known.includes(key) && !KUBERNETES.includes(key),
  );
  if (unknown.length > 0 && !lenient) bad(`unknown args [${unknown.join(' ')}]`);
  return pairs;
}
