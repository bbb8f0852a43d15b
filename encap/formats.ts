import type { Encapsulation, Mode } from './encap.ts';
import { udp } from './udp.ts';
import { vxlan } from './vxlan.ts';

/** The wire formats by the name that configuration uses. */
export const FORMATS: Readonly<Record<Mode, Encapsulation>> = Object.freeze({ vxlan, udp });
