import { CniError, CODE } from './errors.ts';

/** Container ids and network names (specification 1.1, "Network configuration format", "Parameters"). */
const IDENTIFIER = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/;

/** IFNAMSIZ less the terminating NUL, in bytes. */
const MAX_INTERFACE_NAME = 15;

/** Refuses an id that could leave its directory or that the specification forbids: code 4. */
export function checkContainerId(id: string): void {
  if (!IDENTIFIER.test(id))
    throw new CniError(CODE.INVALID_ENVIRONMENT, 'invalid characters in containerID', id);
}

/** Refuses a network name that the specification forbids: code 7. */
export function checkNetworkName(name: unknown): asserts name is string {
  if (name === undefined || name === null || name === '') {
    throw new CniError(CODE.INVALID_CONFIG, 'missing network name');
  }
  if (typeof name !== 'string' || !IDENTIFIER.test(name)) {
    throw new CniError(CODE.INVALID_CONFIG, 'invalid characters found in network name', String(name));
  }
}

/** Why the kernel (or the specification) would refuse an interface name, or undefined when it is good. */
export function interfaceNameProblem(name: string): { problem: string; details?: string } | undefined {
  if (Buffer.byteLength(name) > MAX_INTERFACE_NAME) {
    return {
      problem: 'interface name is too long',
      details: 'interface name should be less than 16 characters',
    };
  }
  if (name === '.' || name === '..') return { problem: 'interface name is . or ..' };
  const [invalid] = /[/:\s\0]/.exec(name) ?? [];
  if (invalid === undefined) return undefined;
  return {
    problem: 'interface name contains / or : or whitespace characters',
    details: `invalid character ${JSON.stringify(invalid)} in ${JSON.stringify(name)}`,
  };
}

/** Refuses an interface name that no kernel takes: code 4. */
export function checkInterfaceName(name: string): void {
  const fault = interfaceNameProblem(name);
  if (fault) throw new CniError(CODE.INVALID_ENVIRONMENT, fault.problem, fault.details);
}
