/**
 * What a person sees when something is wrong before traffic flows. `what` names the fault and the place,
 * `hint` what would be right. Traffic faults are never thrown: they are verdicts with counters.
 */
export class RipstopError extends Error {
  /** Stable upper-case name of the fault: `ECONFIG`, `EPRIV`, `EINUSE`, or the errno name of a failed call. */
  readonly code: string;
  /** What would be right, as one short sentence, or undefined. */
  readonly hint: string | undefined;

  constructor(code: string, what: string, hint?: string, options?: ErrorOptions) {
    super(what, options);
    this.name = 'RipstopError';
    this.code = code;
    this.hint = hint;
  }
}

/** An error of a system call as the addon throws it: `errno` positive, `syscall` its name. */
export interface SystemError extends Error {
  code: string;
  errno: number;
  syscall: string;
}

/** True for an error that carries a system call's errno name in `code`. */
export function isSystemError(error: unknown): error is SystemError {
  return error instanceof Error && typeof (error as Partial<SystemError>).syscall === 'string';
}

/** One line for a person: the message and, where there is one, the hint. */
export function describeError(error: unknown): string {
  if (error instanceof RipstopError) return error.hint ? `${error.message}; ${error.hint}` : error.message;
  if (error instanceof Error) return error.message;
  return String(error);
}
