import { describeError, isSystemError, RipstopError } from '../../base/errors.ts';

/** Error codes of CNI specification 1.1, section "Error"; 8 and 999 are the Go library's. */
export const CODE = {
  INCOMPATIBLE_VERSION: 1,
  UNSUPPORTED_FIELD: 2,
  INVALID_ENVIRONMENT: 4,
  IO_FAILURE: 5,
  DECODE_FAILURE: 6,
  INVALID_CONFIG: 7,
  INVALID_NETNS: 8,
  TRY_AGAIN_LATER: 11,
  PLUGIN_UNAVAILABLE: 50,
  LIMITED_CONNECTIVITY: 51,
  INTERNAL: 999,
} as const;

/** What a plugin answers when it fails: the numbered error object of the specification. */
export class CniError extends Error {
  readonly code: number;
  /** Longer text: what would be right, or what the kernel said. */
  readonly details: string | undefined;

  constructor(code: number, msg: string, details?: string, options?: ErrorOptions) {
    super(msg, options);
    this.name = 'CniError';
    this.code = code;
    this.details = details;
  }
}

/** Refuses a configuration value: code 7, `where` the path of the key. */
export function refuse(where: string, problem: string, hint?: string): never {
  throw new CniError(CODE.INVALID_CONFIG, `${where}: ${problem}`, hint);
}

/**
 * Refuses a configuration value in the words of the reference plugins, which runbooks look for: code 7. `where` is the path
 * of the key, for the details.
 */
export function refuseAs(sentence: string, where: string, problem: string): never {
  throw new CniError(CODE.INVALID_CONFIG, sentence, `${where}: ${problem}`);
}

const FAULT_CODES: Readonly<Record<string, number>> = {
  ECONFIG: CODE.INVALID_CONFIG,
  EAGAIN: CODE.TRY_AGAIN_LATER,
};

/**
 * Any thrown value as a CNI error. A configuration fault becomes code 7, a refused system call on a file code 5, a resource
 * that another process keeps code 11, everything else 999. A CNI error passes through unchanged, so nothing is ever wrapped twice.
 */
export function toCniError(error: unknown): CniError {
  if (error instanceof CniError) return error;
  if (error instanceof RipstopError) {
    return new CniError(FAULT_CODES[error.code] ?? CODE.INTERNAL, error.message, error.hint, {
      cause: error,
    });
  }
  if (isSystemError(error) && 'path' in error) {
    return new CniError(CODE.IO_FAILURE, error.message, undefined, { cause: error });
  }
  return new CniError(CODE.INTERNAL, describeError(error), undefined, { cause: error });
}

/** The error object as it goes to standard output (specification, section "Error"). */
export function encodeError(error: CniError, cniVersion: string | undefined): Record<string, unknown> {
  return {
    ...(cniVersion ? { cniVersion } : {}),
    code: error.code,
    msg: error.message,
    ...(error.details ? { details: error.details } : {}),
  };
}
