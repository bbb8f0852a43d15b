import { viewOf } from '../../../encap/wire/addresses.ts';
import { described, nullable, string } from '../../base/schema.ts';
import { EGRESS, FlowFields } from '../flows/flow-fields.ts';
import { describeKey } from '../flows/flow-report.ts';
import type { PodLookup } from '../live/pods.ts';
import type { Slice } from './segments.ts';

/** Fields that name the pods of a packet. */
export const podPairFields = {
  sourcePod: described(
    'namespace/name of the pod with the source address; null if it is none of this node',
    nullable(string),
  ),
  destinationPod: described('the same for the destination address', nullable(string)),
};

/** The pods at the two ends of a packet, null for an end that is none. */
export interface PodPair {
  readonly sourcePod: string | null;
  readonly destinationPod: string | null;
}

export const NO_PODS: PodPair = { sourcePod: null, destinationPod: null };

/** `default/web-1 > default/dns`, with - for an end that is no pod; undefined without a pod. */
export function podPairText({ sourcePod, destinationPod }: PodPair): string | undefined {
  if (sourcePod === null && destinationPod === null) return undefined;
  return `pods ${sourcePod ?? '-'} > ${destinationPod ?? '-'}`;
}

/** Names the pods at the ends of inner frames. */
export class PodPairs {
  readonly #pods: PodLookup;
  readonly #link: 'ethernet' | 'ip';
  readonly #fields = new FlowFields();

  constructor(pods: PodLookup, link: 'ethernet' | 'ip') {
    this.#pods = pods;
    this.#link = link;
  }

  /** @param time when the frame was handled, nanoseconds since 1970 */
  of({ bytes, length }: Slice, time: bigint): PodPair {
    if (this.#pods.isEmpty) return NO_PODS;
    const view = viewOf(bytes);
    if (!this.#fields.read(view, 0, view.byteLength, length, this.#link, 0, EGRESS)) return NO_PODS;
    const { source, destination } = describeKey(this.#fields.key);
    const ms = Number(time / 1_000_000n);
    return { sourcePod: this.#pods.at(source, ms), destinationPod: this.#pods.at(destination, ms) };
  }
}
