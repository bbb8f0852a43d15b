import { RipstopError } from '../../base/errors.ts';
import { suggest } from '../../base/suggest.ts';
import { POINT_NAMES } from '../../dataplane/tap/record-layout.ts';
import type { TapFilter } from '../../dataplane/tap/tap-control.ts';
import { formatAddress, parseAddress } from '../../ip/address.ts';
import type { CaptureContext, CapturePeer, CaptureVerdict } from '../live/context.ts';

/** A selection by names. An absent key selects all. */
export interface Selection {
  readonly points?: readonly string[] | undefined;
  /** Names of verdicts; `drop` selects all that drop the frame. */
  readonly verdicts?: readonly string[] | undefined;
  /** Name or underlay address of a peer. */
  readonly peer?: string | undefined;
  /** Bytes to keep of a packet, 0 for all. */
  readonly snapLength: number;
}

/** Converts names into the numbers that the workers compare. Throws RipstopError ECAPTURE and suggests a name. */
export function resolveSelection(selection: Selection, context: CaptureContext): TapFilter {
  const verdicts = selection.verdicts?.flatMap(name => verdictNumbers(name, context.verdicts));
  return {
    points: pointBits(selection.points ?? POINT_NAMES),
    snapLength: selection.snapLength,
    ...(verdicts ? { verdicts } : {}),
    ...(selection.peer !== undefined ? { peer: peerSlot(selection.peer, context) } : {}),
  };
}

/** The bits of points by name. Throws RipstopError ECAPTURE. */
export function pointBits(names: readonly string[]): number {
  let bits = 0;
  for (const name of names) {
    const number = (POINT_NAMES as readonly string[]).indexOf(name);
    if (number < 0) unknown('capture point', name, POINT_NAMES);
    bits |= 1 << number;
  }
  return bits;
}

/** Numbers of the verdicts that a name selects. Throws RipstopError ECAPTURE. */
export function verdictNumbers(name: string, verdicts: readonly CaptureVerdict[]): number[] {
  if (name === 'drop') return verdicts.flatMap(({ drop }, number) => (drop ? [number] : []));
  const number = verdicts.findIndex(verdict => verdict.name === name);
  if (number < 0) unknown('verdict', name, [...verdicts.map(verdict => verdict.name), 'drop']);
  return [number];
}

/** True if a name or underlay address means this peer. */
export function selectsPeer(name: string, { id, address }: Pick<CapturePeer, 'id' | 'address'>): boolean {
  if (id === name) return true;
  const parsed = parseAddress(name);
  return parsed !== undefined && formatAddress(parsed) === address;
}

function peerSlot(name: string, context: CaptureContext): number {
  const slot = context.peers.findIndex(peer => peer && selectsPeer(name, peer));
  if (slot >= 0) return slot;
  return unknown(
    'peer',
    name,
    context.peers.flatMap(peer => (peer ? [peer.id, peer.address] : [])),
  );
}

function unknown(what: string, name: string, known: readonly string[]): never {
  const near = suggest(name, known);
  const shown = known.length > 20 ? [...known.slice(0, 20), '…'] : known;
  const hint = near ? `did you mean "${near}"?` : `known: ${shown.join(', ') || 'none'}`;
  throw new RipstopError('ECAPTURE', `unknown ${what} "${name}"`, hint);
}
