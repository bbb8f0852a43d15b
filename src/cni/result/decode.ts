import { text } from '../../base/schema.ts';
import { readIgnoringUnknown } from '../config/ignore-unknown.ts';
import { CniError, CODE, toCniError } from '../skel/errors.ts';
import { ALL_VERSIONS, type CniVersion, isAtLeast } from '../skel/version.ts';
import { emptyResult, errorFields, given, oldestFields, type Result, resultFields } from './types.ts';

/** Runs `read`; what it refuses is a decoding failure, code 6, and not a fault of the configuration. */
function decoding<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    const { code, message, details } = toCniError(error);
    throw new CniError(code === CODE.INVALID_CONFIG ? CODE.DECODE_FAILURE : code, message, details);
  }
}

const versionFields = { cniVersion: text('a version', 'version of the specification') };

/**
 * Reads a result of any version into the newest shape: an earlier plugin's `prevResult` or a delegate's answer.
 * A result without `cniVersion` is of the configuration's version (Go library, `fixupResultVersion`).
 * @param where names the result in errors, as in `prevResult`
 * @throws CniError 6 for anything that is no result, 1 for an unknown version
 */
export function decodeResult(raw: unknown, fallback: CniVersion, where: string): Result {
  return decoding(() => {
    const { cniVersion } = readIgnoringUnknown(versionFields, raw, where);
    const version = ALL_VERSIONS.find(known => known === (cniVersion || fallback));
    if (!version) {
      throw new CniError(
        CODE.INCOMPATIBLE_VERSION,
        `${where}: unsupported CNI result version ${JSON.stringify(cniVersion)}`,
      );
    }
    if (!isAtLeast(version, '0.3.0')) return decodeOldest(raw, where);
    return { ...emptyResult(), ...given(readIgnoringUnknown(resultFields, raw, where)) };
  });
}

function decodeOldest(raw: unknown, where: string): Result {
  const { ip4, ip6, dns = {} } = readIgnoringUnknown(oldestFields, raw, where);
  const result = { ...emptyResult(), dns };
  for (const family of [ip4, ip6]) {
    if (!family) continue;
    const { ip, gateway, routes = [] } = family;
    result.ips.push(given({ address: ip, gateway }));
    result.routes.push(...routes);
  }
  return result;
}

/**
 * The error object that another plugin printed.
 * @param unnamed message of an error without one
 * @throws CniError 6 for anything that is not a CNI error object
 */
export function decodeError(raw: unknown, where: string, unnamed = 'error without a message'): CniError {
  const { code = 0, msg, details } = decoding(() => readIgnoringUnknown(errorFields, raw, where));
  return new CniError(code > 0 ? code : CODE.INTERNAL, msg || unnamed, details || undefined);
}
