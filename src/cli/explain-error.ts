import { codeOf, messageOf, RipstopError } from '../base/errors.ts';

const AS_ROOT = 'run it as root, for example with sudo';

/**
 * A failed system call of this process is a fault of the node and no bug: it gets a hint in place of a stack trace. Without
 * the right, root is missing; errors of ours that say so keep their message.
 */
export function explainError(error: unknown, uid = process.geteuid?.()): unknown {
  const isUser = uid !== 0;
  if (error instanceof RipstopError) {
    const isRefused = error.code === 'EACCES' || error.code === 'EPERM' || error.code === 'EPRIV';
    if (!isRefused || error.hint || !isUser) return error;
    return new RipstopError(error.code, error.message, AS_ROOT, { cause: error });
  }
  const { syscall } = Object(error) as { syscall?: unknown };
  const code = codeOf(error);
  if (typeof syscall !== 'string' || code === undefined) return error;
  const isRefused = code === 'EACCES' || code === 'EPERM';
  return new RipstopError(code, messageOf(error), isRefused && isUser ? AS_ROOT : undefined, {
    cause: error,
  });
}
