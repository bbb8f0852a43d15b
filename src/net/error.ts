import { constants } from 'node:os';
import { type ErrorCode, errnoName, isSystemError, RipstopError } from '../base/errors.ts';

const MEANINGS: Readonly<Partial<Record<ErrorCode, string>>> = {
  EPERM: 'the capability CAP_NET_ADMIN is missing',
  EEXIST: 'it exists already',
  ENODEV: 'there is no such device',
  ENOENT: 'it does not exist',
  ESRCH: 'it does not exist',
  EOPNOTSUPP: 'this kernel does not support it',
  ENETUNREACH: 'the network is unreachable: the gateway is on no connected network',
  EADDRNOTAVAIL: 'the address is not there',
  EBUSY: 'it is in use',
  EINVAL: 'the kernel finds the request invalid',
};

/**
 * A kernel request that was refused, or an answer that cannot be read. `code` is the errno name, `errno` its
 * positive number, `kernelText` what the kernel itself said (extended acknowledgement), empty when it said nothing.
 */
export class NetError extends RipstopError {
  readonly errno: number;
  readonly kernelText: string;

  /** @param what the request in words, as in `add route 10.0.0.0/24` */
  constructor(errno: number, what: string, kernelText = '', hint?: string) {
    const code = errnoName(errno);
    const reason = kernelText || MEANINGS[code] || 'the kernel refused';
    super(code, `${what}: ${reason} (${code})`, hint);
    this.name = 'NetError';
    this.errno = errno;
    this.kernelText = kernelText;
  }
}

/** True for a NetError with one of these errno names, or for any NetError when none is named. */
export function isNetError(error: unknown, ...codes: readonly ErrorCode[]): error is NetError {
  return error instanceof NetError && (codes.length === 0 || codes.includes(error.code));
}

/** Runs `action`; true when it did its work, false when it failed with one of `codes`: idempotent deletes. */
export function ignoreErrors(codes: readonly ErrorCode[], action: () => void): boolean {
  try {
    action();
    return true;
  } catch (error) {
    if (error instanceof NetError && codes.includes(error.code)) return false;
    throw error;
  }
}

/**
 * Runs `action`, which opens something of a namespace; an error of a system call becomes a NetError that names both.
 * @param netns path of the namespace, '' for the caller's own
 * @param capability what opening it takes, besides entering the namespace
 */
export function inNamespace<T>(
  netns: string,
  what: string,
  action: () => T,
  capability = 'CAP_NET_ADMIN',
): T {
  try {
    return action();
  } catch (error) {
    if (!isSystemError(error)) throw error;
    const place = netns ? ` in network namespace ${netns}` : '';
    const isEntry = error.syscall === 'setns';
    const reason =
      error.code === 'EPERM'
        ? `the capability ${isEntry ? 'CAP_SYS_ADMIN' : capability} is missing`
        : isEntry && error.code === 'EINVAL'
          ? 'it is not a network namespace'
          : '';
    throw new NetError(Math.abs(error.errno), what + place, reason);
  }
}

/** An answer whose bytes contradict themselves. */
export function malformedMessage(what: string): NetError {
  return new NetError(constants.errno.EBADMSG, 'netlink answer', what);
}
