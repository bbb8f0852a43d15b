import { native } from '../native/load.ts';

/** flock(2) operations (sys/file.h). */
export const LOCK_EX = 2;
export const LOCK_NB = 4;

/**
 * Advisory lock on an open file, shared with every other program that uses flock(2); it ends with the descriptor.
 * @returns 0 or -errno (-11: another holds it, with LOCK_NB)
 */
export function flock(fd: number, operation: number): number {
  return native.fileLock(fd, operation);
}
