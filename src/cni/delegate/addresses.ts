import { text } from '../../base/schema.ts';
import { passthroughObject, readIgnoringUnknown } from '../config/ignore-unknown.ts';
import type { Result } from '../result/types.ts';
import { CniError, CODE, refuse } from '../skel/errors.ts';
import type { Call } from '../skel/plugin.ts';
import type { Undo } from '../skel/undo.ts';
import { delegate, delegateAdd } from './delegate.ts';

const ipamFields = {
  ipam: passthroughObject({ type: text('the name of a plugin', 'address plugin') }, 'address management'),
};

/** `ipam.type`, or undefined for a network without address management. @throws CniError 7, RipstopError ECONFIG */
export function ipamType(config: Record<string, unknown>): string | undefined {
  return readIgnoringUnknown(ipamFields, config, '').ipam?.type || undefined;
}

/** `ipam.type` for a plugin that cannot do without addresses. @throws CniError 7 */
export function requireIpamType(config: Record<string, unknown>): string {
  return (
    ipamType(config) ?? refuse('ipam.type', 'is missing', 'name an address plugin, for example "host-local"')
  );
}

/** Obtains addresses for the pod; a failure of a later step releases them. At least one address is required. */
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
 * The steps of a DEL or GC that remove interfaces and addresses, in order. Addresses of plugins that work on files are released
 * last, when nothing uses them any more. Others (dhcp) need the interface for the release.
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
