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
/**
 * How long this node, before a reboot, counts as alive after its last heartbeat, ms: a clone that is alive would have sent the
 * next one.
 */
export const FORMER_BOOT_TTL_MS = HEARTBEAT_MS + 3000;

/** True for a token of this node's name under another boot: the node before a reboot, or a clone of it. */
export function isOtherBoot(token: string, own: string): boolean {
  return token !== own && nameOf(token) === nameOf(own);
}

function nameOf(token: string): string {
  return token.slice(0, token.lastIndexOf('/'));
}

/** For the log, while the node waits for a heartbeat of another boot. */
export function describeOtherBoot(token: string, silentMs: number): string {
  const leftMs = FORMER_BOOT_TTL_MS - silentMs;
  return (
    `node ${nameOf(token)} was alive ${seconds(silentMs)} ago under another boot of the kernel: ` +
    `this node takes its address over in ${seconds(leftMs)} unless it is seen again`
  );
}

function seconds(ms: number): string {
  return `${Math.max(0, Math.round(ms / 1000))} s`;
}
