import { CniError, CODE } from '../skel/errors.ts';
import type { Call } from '../skel/plugin.ts';
import { type CniVersion, isAtLeast } from '../skel/version.ts';

/* Errors of the plugins of addresses in the reference plugins' words, which runbooks look for. */

/** `ipam` of a configuration. @throws CniError 7 without it */
export function requireIpam(call: Call): unknown {
  if (call.config.ipam !== undefined && call.config.ipam !== null) return call.config.ipam;
  throw new CniError(CODE.INVALID_CONFIG, "IPAM config missing 'ipam' key");
}

/** Results before 0.3.0 have room for one address per family. @throws CniError 7 for more of them */
export function refuseSeveral(version: CniVersion, v4: number, v6: number, where: string): void {
  if (isAtLeast(version, '0.3.0') || (v4 <= 1 && v6 <= 1)) return;
  const sentence = `CNI version ${version} does not support more than 1 address per family`;
  throw new CniError(CODE.INVALID_CONFIG, sentence, where);
}

/** Runs `work`; its CNI errors get a beginning. */
export function prefixed<T>(beginning: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof CniError)) throw error;
    throw new CniError(error.code, `${beginning}: ${error.message}`, error.details);
  }
}
