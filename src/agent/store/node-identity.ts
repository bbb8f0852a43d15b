import { readFileSync } from 'node:fs';

/**
 * What tells this node from a clone of it: its name and the kernel's boot id. Clones of a machine image share name
 * and machine-id, but never the boot id.
 */
export function nodeToken(name: string): string {
  let boot = '';
  try {
    boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  } catch {
    // Without /proc the name alone has to do.
  }
  return `${name}/${boot}`;
}

/** How long a node counts as alive after its last sign, ms. */
export const LIVENESS_TTL_MS = 30_000;
/** How often it gives one, ms. */
export const HEARTBEAT_MS = 10_000;
