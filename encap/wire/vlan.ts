import { TYPE_SERVICE_VLAN, TYPE_VLAN } from './ethernet.ts';

/*
 * VLAN tag (IEEE 802.1Q clause 9.6; stacked: 802.1ad). `off` is the offset of the tag protocol identifier, where
 * an untagged header has its type.
 *
 *   0  tag protocol identifier   2   0x8100, 0x88a8
 *   2  priority 3 bits, drop eligible 1, VLAN identifier 12
 *   4  type of what follows      2   (not counted as part of the tag)
 */
export const BYTES = 4;
/** Most tags in a header: a service tag and a customer tag. */
export const MAX_TAGS = 2;

/**
 * Bytes of the Ethernet header at `off` with its tags (14, 18 or 22), 0 when the frame ends inside it or carries more
 * than two tags. The type of the payload is the two bytes before: `view.getUint16(off + result - 2)`.
 */
export function linkBytes(view: DataView, off: number, length: number): number {
  if (length < 14) return 0;
  const outer = view.getUint16(off + 12);
  if (outer !== TYPE_VLAN && outer !== TYPE_SERVICE_VLAN) return 14;
  if (length < 18) return 0;
  const inner = view.getUint16(off + 16);
  if (inner !== TYPE_VLAN && inner !== TYPE_SERVICE_VLAN) return 18;
  if (length < 22) return 0;
  const last = view.getUint16(off + 20);
  return last === TYPE_VLAN || last === TYPE_SERVICE_VLAN ? 0 : 22;
}

export interface Vlan {
  /** Tag protocol identifier: 0x8100 or 0x88a8. */
  protocol: number;
  /** 0 for a priority tag. */
  identifier: number;
  priority: number;
  /** The frame may be dropped first. */
  dropEligible: boolean;
}

/** The tag as a value, or undefined when there is none or it is cut short before the type behind it. */
export function parse(view: DataView, off: number, length: number): Vlan | undefined {
  if (length < 6) return undefined;
  const protocol = view.getUint16(off);
  if (protocol !== TYPE_VLAN && protocol !== TYPE_SERVICE_VLAN) return undefined;
  const control = view.getUint16(off + 2);
  return {
    protocol,
    identifier: control & 0x0fff,
    priority: control >> 13,
    dropEligible: (control & 0x1000) !== 0,
  };
}

/** `vlan 100, p 0` with `, DEI` where the frame may be dropped first. */
export function format(tag: Vlan): string {
  return `vlan ${tag.identifier}, p ${tag.priority}${tag.dropEligible ? ', DEI' : ''}`;
}
