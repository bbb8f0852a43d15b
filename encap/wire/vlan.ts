import { TYPE_SERVICE_VLAN, TYPE_VLAN } from './ethernet.ts';

/*
 * VLAN tag (IEEE 802.1Q clause 9.6; stacked: 802.1ad). `off` is where the tag protocol identifier stands, which is
 * where an untagged header has its type.
 *
 *   0  tag protocol identifier   2   0x8100, 0x88a8
 *   2  priority 3 bits, drop eligible 1, VLAN identifier 12
 *   4  type of what follows      2   (not counted as part of the tag)
 */
export const BYTES = 4;
/** Most tags in a header: a service tag and a customer tag. */
export const MAX_TAGS = 2;

/** Bytes of the tag when `length` bytes at `off` hold it and the type after it, else 0. */
export function check(view: DataView, off: number, length: number): number {
  return length >= 6 && isTag(view.getUint16(off)) ? 4 : 0;
}

/** True for a type that announces a tag. */
export function isTag(type: number): boolean {
  return type === TYPE_VLAN || type === TYPE_SERVICE_VLAN;
}

/** VLAN identifier, 0 for a priority tag. */
export function identifier(view: DataView, off: number): number {
  return view.getUint16(off + 2) & 0x0fff;
}

export function priority(view: DataView, off: number): number {
  return view.getUint8(off + 2) >> 5;
}

/** 1 when the frame may be dropped first. */
export function dropEligible(view: DataView, off: number): number {
  return (view.getUint8(off + 2) >> 4) & 1;
}

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

export function setTag(view: DataView, off: number, protocol: number, control: number): void {
  view.setUint16(off, protocol);
  view.setUint16(off + 2, control);
}

export interface Vlan {
  /** Tag protocol identifier: 0x8100 or 0x88a8. */
  protocol: number;
  identifier: number;
  priority: number;
  dropEligible: boolean;
}

/** The tag as a value, or undefined when there is none or it is cut short. */
export function parse(view: DataView, off: number, length: number): Vlan | undefined {
  if (check(view, off, length) === 0) return undefined;
  return {
    protocol: view.getUint16(off),
    identifier: identifier(view, off),
    priority: priority(view, off),
    dropEligible: dropEligible(view, off) === 1,
  };
}

/** Writes the tag, not the type after it; returns its bytes. */
export function emit(view: DataView, off: number, tag: Vlan): number {
  setTag(view, off, tag.protocol, (tag.priority << 13) | (tag.dropEligible ? 0x1000 : 0) | tag.identifier);
  return 4;
}

/** `vlan 100, p 0` with `, DEI` where the frame may be dropped first. */
export function format(tag: Vlan): string {
  return `vlan ${tag.identifier}, p ${tag.priority}${tag.dropEligible ? ', DEI' : ''}`;
}
