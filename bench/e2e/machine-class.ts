import type { Charges } from '../lab/versions.ts';

/**
 * From here on a charge explains a ratio to the kernel. Of the machines that were measured, those with a cheap system call
 * take 0.1 to 0.3 us for it, and a hypervisor that emulates page tables takes 1 us.
 */
const DEAR_CALL_NS = 500;
const DEAR_WAKE_NS = 5000;

/** A system call costs about 1 us. False where it was not measured. */
export const isCallDear = (charges: Charges | undefined) => (charges?.systemCall ?? 0) >= DEAR_CALL_NS;

/** A wake-up of a thread on another core, or on the only one. */
export const wakeOf = ({ wakeFar, wakeNear }: Charges) => wakeFar ?? wakeNear;
export const isWakeDear = (charges: Charges) => wakeOf(charges) >= DEAR_WAKE_NS;
