import { type Address, formatAddress } from '../../../ip/address.ts';
import { formatPrefix } from '../../../ip/prefix.ts';
import { readAddress } from '../../config/addresses.ts';
import { CniError, CODE } from '../../skel/errors.ts';
import { type AddressRange, candidates, describeSet, isReserved, type RangeSet, rangeOf } from './ranges.ts';
import type { AddressStore } from './store.ts';

/** One address as given: CIDR with the subnet's length, and the gateway of its range. */
export interface Allocation {
  address: string;
  gateway: string;
}

function allocation(range: AddressRange, value: bigint): Allocation {
  const { family, length } = range.network;
  const gateway = formatAddress({ family, value: range.gateway });
  return { address: formatPrefix({ family, value, length }), gateway };
}

/**
 * One address from each set: the requested one where there is one in the set, else the next free one behind the
 * last given. All or nothing.
 * @throws CniError 999: a second allocation for the attachment, a request that is taken, the gateway or in no set,
 *   no free address
 */
export function allocate(
  store: AddressStore,
  sets: readonly RangeSet[],
  requested: readonly Address[],
  containerId: string,
  ifname: string,
): Allocation[] {
  const held = store.addressesOf(containerId, ifname);
  if (held.length > 0) {
    fault(`${held.join(', ')} has been allocated to ${containerId}, duplicate allocation is not allowed`);
  }
  const open = [...requested];
  try {
    const result = sets.map((set, index) => {
      for (const [at, address] of open.entries()) {
        const range = rangeOf(set, address);
        if (!range) continue;
        open.splice(at, 1);
        return wanted(store, set, index, range, address.value, containerId, ifname);
      }
      return next(store, set, index, containerId, ifname);
    });
    if (open.length > 0) {
      const rest = open.map(formatAddress).join(', ');
      fault(
        `failed to allocate all requested IPs: ${rest}`,
        `the ranges are ${sets.map(describeSet).join('; ')}`,
      );
    }
    return result;
  } catch (error) {
    store.release(containerId, ifname);
    throw error;
  }
}

function wanted(
  store: AddressStore,
  set: RangeSet,
  index: number,
  range: AddressRange,
  value: bigint,
  containerId: string,
  ifname: string,
): Allocation {
  const text = formatAddress({ family: range.network.family, value });
  if (value === range.gateway) fault(`requested ip ${text} is subnet's gateway`);
  if (isReserved(range, value)) fault(`requested ip ${text} is subnet's network or broadcast address`);
  if (!store.reserve(text, containerId, ifname, index)) {
    fault(`requested IP address ${text} is not available in range set ${describeSet(set)}`);
  }
  return allocation(range, value);
}

function next(
  store: AddressStore,
  set: RangeSet,
  index: number,
  containerId: string,
  ifname: string,
): Allocation {
  const lastText = store.lastReserved(index);
  const last = lastText === undefined ? undefined : readAddress(lastText, 'last reserved address');
  const sameFamily = last !== undefined && last.family === set[0].network.family;
  let taken: Set<string> | undefined;
  for (const { range, value } of candidates(set, sameFamily ? last.value : undefined)) {
    const text = formatAddress({ family: range.network.family, value });
    if (taken?.has(text)) continue;
    if (store.reserve(text, containerId, ifname, index)) return allocation(range, value);
    taken ??= store.taken();
  }
  fault(`no IP addresses available in range set: ${describeSet(set)}`);
}

function fault(problem: string, details?: string): never {
  throw new CniError(CODE.INTERNAL, problem, details);
}
