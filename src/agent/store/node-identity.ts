import { readFileSync } from 'node:fs';

/**
 * Distinguishes this node from a clone of it: its name and the boot id of the kernel. Clones of a machine image share name
 * and machine-id, but not the boot id.
 */
export function nodeToken(name: string): string {
  let boot = '';
  try {
    boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  } catch {
    // Without /proc the name is the only distinction.
  }
  return `${name}/${boot}`;
}

/** How long a node counts as alive after its last heartbeat, ms. */
export const LIVENESS_TTL_MS = 30_000;
/** Interval of the heartbeats, ms. */
export const HEARTBEAT_MS = 10_000;
