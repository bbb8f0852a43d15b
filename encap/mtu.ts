import type { Encapsulation, Family } from './encap.ts';

/*
 * The largest packet of a pod. Pure arithmetic; the caller gives the MTU of the underlay.
 *
 *   inner MTU = underlay MTU - overhead(format, underlay family)
 */

/** The smallest MTU that an IPv6 link may have (RFC 8200 section 5). */
const MIN_INNER_IPV6 = 1280;
/** The smallest MTU that an IPv4 link may have (RFC 791). */
const MIN_INNER_IPV4 = 68;
/** What every IPv4 host must be able to receive (RFC 1122 section 3.3.2); below it a warning is due. */
const USUAL_INNER_IPV4 = 576;
/** The largest IP packet without a jumbo option. */
const MAX_IP = 65535;
/** The smallest underlay MTU of each family. */
export const MIN_UNDERLAY: Readonly<Record<Family, number>> = { 4: 68, 6: 1280 };

/** The MTU, or `problem` and `hint` for RipstopError(what, hint). */
export type MtuResult =
  | { ok: true; mtu: number; warning: string | undefined }
  | { ok: false; problem: string; hint: string };

/** The largest inner IP packet on a path that takes outer IP packets of `underlayMtu` bytes; never below 0. */
export function innerMtu(format: Encapsulation, underlay: Family, underlayMtu: number): number {
  return Math.max(0, Math.min(underlayMtu, MAX_IP) - format.overhead(underlay));
}

/** The smallest underlay MTU on which inner IP packets of `mtu` bytes travel whole. */
function underlayMtu(format: Encapsulation, underlay: Family, mtu: number): number {
  return mtu + format.overhead(underlay);
}

/**
 * The MTU that the overlay device gets.
 * @param underlay family of the addresses between the nodes
 * @param pathMtu MTU of the underlay interface, bytes of IP
 * @param inner families that the pods use
 * @param wanted MTU asked for by configuration, undefined: the largest that fits
 */
export function overlayMtu(
  format: Encapsulation,
  underlay: Family,
  pathMtu: number,
  inner: readonly Family[],
  wanted?: number,
): MtuResult {
  const overhead = format.overhead(underlay);
  const over = `${format.name} over IPv${underlay} adds ${overhead} bytes`;
  if (!Number.isInteger(pathMtu) || pathMtu < MIN_UNDERLAY[underlay]) {
    const problem = `underlay MTU ${pathMtu} is below the ${MIN_UNDERLAY[underlay]} bytes that IPv${underlay} needs`;
    return { ok: false, problem, hint: 'choose another underlay interface or raise its MTU' };
  }
  const largest = innerMtu(format, underlay, pathMtu);
  if (wanted !== undefined && (!Number.isInteger(wanted) || wanted > largest)) {
    const problem = `MTU ${wanted} does not fit an underlay MTU of ${pathMtu}: ${over}`;
    return { ok: false, problem, hint: `the largest that fits is ${largest}` };
  }
  const mtu = wanted ?? largest;
  const least = inner.includes(6) ? MIN_INNER_IPV6 : MIN_INNER_IPV4;
  if (mtu < least) {
    const family = inner.includes(6) ? 6 : 4;
    const problem = `MTU ${mtu} is below the ${least} bytes that IPv${family} pods need`;
    const need = underlayMtu(format, underlay, least);
    const hint =
      wanted === undefined || largest < least
        ? `${over}, so the underlay needs an MTU of at least ${need}`
        : `set an MTU within ${least}..${largest}`;
    return { ok: false, problem, hint };
  }
  const warning =
    mtu < USUAL_INNER_IPV4
      ? `MTU ${mtu} is below ${USUAL_INNER_IPV4}, the size every IPv4 host can rely on`
      : undefined;
  return { ok: true, mtu, warning };
}
