import { CniError, CODE } from './errors.ts';

/** Every released version of the CNI specification, oldest first. */
export const ALL_VERSIONS = ['0.1.0', '0.2.0', '0.3.0', '0.3.1', '0.4.0', '1.0.0', '1.1.0'] as const;
export type CniVersion = (typeof ALL_VERSIONS)[number];

export const CURRENT_VERSION: CniVersion = '1.1.0';

/** A configuration without `cniVersion` is of the oldest version (Go library, `ConfigDecoder`). */
const DEFAULT_VERSION: CniVersion = '0.1.0';

const order = (version: CniVersion) => ALL_VERSIONS.indexOf(version);

/** True when `version` is `least` or newer. */
export function isAtLeast(version: CniVersion, least: CniVersion): boolean {
  return order(version) >= order(least);
}

/**
 * The version of a configuration.
 * @throws CniError 1 for a version that is not known, naming both sides; CniError 6 when the value is not a string
 */
export function negotiate(wanted: unknown): CniVersion {
  if (wanted === undefined || wanted === null || wanted === '') return DEFAULT_VERSION;
  if (typeof wanted !== 'string') {
    throw new CniError(CODE.DECODE_FAILURE, `cniVersion: ${JSON.stringify(wanted)} is not a text`);
  }
  const found = ALL_VERSIONS.find(version => version === wanted);
  if (found) return found;
  const list = ALL_VERSIONS.map(version => `"${version}"`).join(' ');
  throw new CniError(
    CODE.INCOMPATIBLE_VERSION,
    'incompatible CNI versions',
    `config is "${wanted}", plugin supports [${list}]`,
  );
}
