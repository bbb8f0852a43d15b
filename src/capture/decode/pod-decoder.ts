import { type CaptureInterface, LINK_ETHERNET, type Packet } from '../format/packet.ts';
import type { PodLookup } from '../live/pods.ts';
import type { GsoFields, Losses } from '../live/record.ts';
import type { RecordDecoder } from '../run.ts';
import { offloadComment } from './packet-decoder.ts';
import { PodPairs, podPairText } from './pod-pair.ts';
import { segmentGso } from './segments.ts';

/** A frame that passed the veth of a pod. One without a length has no frame and tells only losses. */
export interface PodFrame {
  /** Index of the veth. */
  readonly veth: number;
  /** The pod sent it. */
  readonly isFromPod: boolean;
  /** Nanoseconds since 1970-01-01 UTC. */
  readonly time: bigint;
  readonly bytes: Uint8Array;
  /** Original length. */
  readonly length: number;
  readonly offload: GsoFields;
  /** What was lost at this veth since the frame before. */
  readonly lost: Losses;
}

/** The node's end of an interface of a pod. */
export interface PodVeth {
  /** `namespace/name`, with the interface of a pod that has several. */
  readonly name: string;
  /** Interface of the node, and the one inside the pod. */
  readonly hostLink: string;
  readonly ifname: string;
  readonly index: number;
}

export interface PodDecoderOptions {
  /** Bytes to keep of a packet, 0 for all. */
  readonly snapLength: number;
  /** Split GSO packets into segments and fill in partial checksums. */
  readonly segments: boolean;
  /** Capture filter, for the interface blocks. */
  readonly filter: string;
  readonly pods: PodLookup;
}

/** Decodes the frames of pods into the packets of a capture file, one interface per veth. */
export class PodDecoder implements RecordDecoder<PodFrame> {
  readonly interfaces: readonly CaptureInterface[];
  readonly #options: PodDecoderOptions;
  readonly #pods: PodPairs;

  constructor(veths: readonly PodVeth[], options: PodDecoderOptions) {
    const { snapLength, filter, pods } = options;
    this.#options = options;
    this.#pods = new PodPairs(pods, 'ethernet');
    this.interfaces = veths.map(({ name, hostLink, ifname }) => ({
      name,
      description: `${hostLink}, the node's end of ${ifname} of the pod; outbound: from the pod`,
      link: LINK_ETHERNET,
      snapLength,
      ...(filter ? { filter } : {}),
    }));
  }

  lost({ veth, lost }: PodFrame): { readonly interface: number; readonly packets: number }[] {
    return lost.all > 0 ? [{ interface: veth, packets: lost.all }] : [];
  }

  shown({ veth, length }: PodFrame): number[] {
    return length > 0 ? [veth] : [];
  }

  packets(frame: PodFrame): Packet[] {
    const { veth, isFromPod, time, offload } = frame;
    const { segments, snapLength } = this.#options;
    const comments = [isFromPod ? 'from the pod' : 'to the pod'];
    const pods = this.#pods.of(frame, time);
    const names = podPairText(pods);
    if (names) comments.push(names);
    const whole = segments ? undefined : offloadComment(frame, offload, 'ethernet');
    if (whole) comments.push(whole);
    return (segments ? segmentGso(frame, offload, 'ethernet') : [frame]).map(({ bytes, length }) => ({
      interface: veth,
      time,
      bytes: bytes.subarray(0, snapLength || bytes.length),
      length,
      direction: isFromPod ? 'out' : 'in',
      comments,
      pods,
    }));
  }
}
