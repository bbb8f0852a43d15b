import { constants } from 'node:os';

/** Faults that Ripstop itself finds. */
const FAULT_CODES = [
  'EAGENT',
  'ECAPACITY',
  'ECAPTURE',
  'ECOMMAND',
  'ECONFIG',
  'EFILTER',
  'EINUSE',
  'ELAYOUT',
  'ELEASE',
  'ENOAGENT',
  'ENODEVICE',
  'ENOLEASE',
  'ENOWEB',
  'EWEB',
  'EPRIV',
  'EREFUSED',
  'EREPORT',
  'ESOCKET',
  'ESTORE',
  'EUNDERLAY',
] as const;

export type FaultCode = (typeof FAULT_CODES)[number];

/** Stable upper-case name of a fault: one of ours, or the errno name of a failed call (`E<number>` for an unlisted errno). */
export type ErrorCode = FaultCode | keyof typeof constants.errno | `E${number}`;

/**
 * What a person sees when something is wrong before traffic flows. `what` names the fault and the place,
 * `hint` what would be right. Traffic faults are never thrown: they are verdicts with counters.
 */
export class RipstopError extends Error {
  readonly code: ErrorCode;
  /** What would be right, as one short sentence, or undefined. */
  readonly hint: string | undefined;

  constructor(code: ErrorCode, what: string, hint?: string, options?: ErrorOptions) {
    super(what, options);
    this.name = 'RipstopError';
    this.code = code;
    this.hint = hint;
  }
}

/** An error of a system call as the addon throws it: `errno` positive, `syscall` its name. */
export interface SystemError extends Error {
  code: ErrorCode;
  errno: number;
  syscall: string;
}

/** True for an error that carries a system call's errno name in `code`. */
export function isSystemError(error: unknown): error is SystemError {
  return error instanceof Error && typeof (error as Partial<SystemError>).syscall === 'string';
}

/** True for an error, ours or of a system call, whose `code` is one of `codes`. */
export function hasCode<C extends ErrorCode>(
  error: unknown,
  ...codes: readonly C[]
): error is Error & { code: C } {
  return error instanceof Error && codes.includes((error as Error & { code?: C }).code as C);
}

/** The `code` of a thrown value, or of an answer of the agent's socket, where it is an ErrorCode; else `fallback`. */
export function codeOf(error: unknown, fallback: ErrorCode): ErrorCode;
export function codeOf(error: unknown): ErrorCode | undefined;
export function codeOf(error: unknown, fallback?: ErrorCode): ErrorCode | undefined {
  const { code } = Object(error) as { code?: unknown };
  return isErrorCode(code) ? code : fallback;
}

function isErrorCode(code: unknown): code is ErrorCode {
  if (typeof code !== 'string') return false;
  return (
    FAULT_CODES.some(known => known === code) || Object.hasOwn(constants.errno, code) || /^E\d+$/.test(code)
  );
}

const ERRNO_NAMES = new Map<number, ErrorCode>();
for (const [name, errno] of Object.entries(constants.errno))
  if (!ERRNO_NAMES.has(errno)) ERRNO_NAMES.set(errno, name as ErrorCode);
// Two names for one number on Linux: the one that the kernel's own source uses.
ERRNO_NAMES.set(constants.errno.EOPNOTSUPP, 'EOPNOTSUPP');
ERRNO_NAMES.set(constants.errno.EAGAIN, 'EAGAIN');

/** Name of a positive errno, `E<number>` for one that this platform does not list. */
export function errnoName(errno: number): ErrorCode {
  return ERRNO_NAMES.get(errno) ?? `E${errno}`;
}

/** A thrown value as an Error: JavaScript can throw anything. */
export function toError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown));
}

/** The message of a thrown value, without a hint. */
export function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}

/** One line for a person: the message and, where there is one, the hint. */
export function describeError(error: unknown): string {
  if (error instanceof RipstopError && error.hint) return `${error.message}; ${error.hint}`;
  return messageOf(error);
}
