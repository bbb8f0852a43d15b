import type { Result } from '../result/types.ts';
import { CniError, CODE, refuse } from '../skel/errors.ts';
import type { Call } from '../skel/plugin.ts';
import type { Undo } from '../skel/undo.ts';
import { delegate, delegateAdd } from './delegate.ts';

/** `ipam.type`, or undefined for a network without address management. @throws CniError 7 */
export function ipamType(config: Record<string, unknown>): string | undefined {
  const { ipam } = config;
  if (ipam === undefined || ipam === null) return undefined;
  if (typeof ipam !== 'object' || Array.isArray(ipam)) refuse('ipam', 'must be an object');
  const { type } = ipam as { type?: unknown };
  if (type === undefined || type === null || type === '') return undefined;
  if (typeof type !== 'string') refuse('ipam.type', `${JSON.stringify(type)} is not a text`);
  return type;
}

/** `ipam.type` for a plugin that cannot do without addresses. @throws CniError 7 */
export function requireIpamType(config: Record<string, unknown>): string {
  return (
    ipamType(config) ?? refuse('ipam.type', 'is missing', 'name an address plugin, for example "host-local"')
  );
}

/** Addresses for the pod; a failure of a later step gives them back. At least one must come. */
export async function obtainAddresses(call: Call, type: string, undo: Undo): Promise<Result> {
  const result = await delegateAdd(call, type);
  // Only now: a failed ADD has released its own, and a refused second ADD must not take the first one's address.
  undo.push(`release the addresses of ${call.containerId}`, () => delegate(call, type, 'DEL'));
  if (result.ips.length === 0) throw new CniError(CODE.INTERNAL, 'IPAM plugin returned missing IP config');
  return result;
}

/** Forwards DEL, CHECK, GC or STATUS to the address plugin, where the network has one. */
export async function forwardToIpam(call: Call, command: 'DEL' | 'CHECK' | 'GC' | 'STATUS'): Promise<void> {
  const type = ipamType(call.config);
  if (type) await delegate(call, type, command);
}

/** Address plugins that work on files alone. */
const WITHOUT_INTERFACE = ['host-local', 'static'];

/**
 * The steps of a DEL or GC that take interfaces and addresses away, in their order. An address that is only noted somewhere
 * goes last, when nothing uses it any more; others may have to be given back by the interface itself (dhcp).
 */
export function releaseSteps(
  call: Call,
  command: 'DEL' | 'GC',
  removeInterface: readonly (() => unknown)[],
): (() => unknown)[] {
  const release = () => forwardToIpam(call, command);
  const type = ipamType(call.config);
  const late = type === undefined || WITHOUT_INTERFACE.includes(type);
  return late ? [...removeInterface, release] : [release, ...removeInterface];
}
