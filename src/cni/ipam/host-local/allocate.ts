import { type Address, formatAddress } from '../../../ip/address.ts';
import { formatPrefix } from '../../../ip/prefix.ts';
import { readAddress } from '../../config/addresses.ts';
import { CniError, CODE } from '../../skel/errors.ts';
import { prefixed } from '../checks.ts';
import {
  type AddressRange,
  type Candidate,
  candidates,
  describeSet,
  type RangeSet,
  rangeOf,
} from './ranges.ts';
import type { AddressStore } from './store.ts';

/** One allocated address: CIDR with the length of the subnet, and the gateway of its range. */
interface Allocation {
  address: string;
  gateway: string;
}

/** Reserves an address of a range for the attachment. @returns false when it is reserved already */
type Reserve = (range: AddressRange, value: bigint) => boolean;

const textOf = ({ network: { family } }: AddressRange, value: bigint) => formatAddress({ family, value });

function allocation(range: AddressRange, value: bigint): Allocation {
  const { family, length } = range.network;
  return { address: formatPrefix({ family, value, length }), gateway: textOf(range, range.gateway) };
}

/**
 * Allocates one address from each set: a requested one that is in the set, otherwise the next free one behind the last one
 * allocated. When one set fails, nothing stays allocated.
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
    fault(
      `failed to allocate for range 0: ${held.join(', ')} has been allocated to ${containerId}, duplicate allocation is not allowed`,
    );
  }
  const open = [...requested];
  try {
    const result = sets.map((set, index) => {
      const reserve: Reserve = (range, value) =>
        store.reserve(textOf(range, value), containerId, ifname, index);
      const wanted = takeRequested(open, set);
      return prefixed(`failed to allocate for range ${index}`, () =>
        wanted ? allocateRequested(set, wanted, reserve) : allocateNext(store, set, index, reserve),
      );
    });
    if (open.length > 0) {
      const rest = open.map(formatAddress).join(' ');
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

/** Removes the first address that lies in the set from `open` and returns it with its range. */
function takeRequested(open: Address[], set: RangeSet): Candidate | undefined {
  for (const [index, address] of open.entries()) {
    const range = rangeOf(set, address);
    if (!range) continue;
    open.splice(index, 1);
    return { range, value: address.value };
  }
  return undefined;
}

function allocateRequested(set: RangeSet, { range, value }: Candidate, reserve: Reserve): Allocation {
  const text = textOf(range, value);
  if (value === range.gateway) fault(`requested ip ${text} is subnet's gateway`);
  if (reserve(range, value)) return allocation(range, value);
  fault(`requested IP address ${text} is not available in range set ${describeSet(set)}`);
}

function allocateNext(store: AddressStore, set: RangeSet, index: number, reserve: Reserve): Allocation {
  const lastText = store.lastReserved(index);
  const last = lastText === undefined ? undefined : readAddress(lastText, 'last reserved address');
  const sameFamily = last !== undefined && last.family === set[0].network.family;
  let taken: Set<string> | undefined;
  for (const { range, value } of candidates(set, sameFamily ? last.value : undefined)) {
    if (taken?.has(textOf(range, value))) continue;
    if (reserve(range, value)) return allocation(range, value);
    taken ??= store.taken();
  }
  fault(`no IP addresses available in range set: ${describeSet(set)}`);
}

function fault(problem: string, details?: string): never {
  throw new CniError(CODE.INTERNAL, problem, details);
}
