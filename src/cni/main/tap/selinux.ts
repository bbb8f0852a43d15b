import { writeFileSync } from 'node:fs';
import { messageOf } from '../../../base/errors.ts';
import { CniError, CODE } from '../../skel/errors.ts';

/** Label of the programs that this thread starts (proc(5), attr/exec). */
const EXEC_LABEL = '/proc/thread-self/attr/exec';

/**
 * Starts a program with an SELinux context. The kernel labels a TAP with the context of the process that makes it, so that
 * another program may open it.
 * @param start starts it before it returns; it may end later
 * @throws CniError 999 where the kernel has no SELinux, or its policy does not know the context
 */
export async function withExecLabel<T>(context: string, start: () => Promise<T>): Promise<T> {
  try {
    writeFileSync(EXEC_LABEL, context);
  } catch (error) {
    throw new CniError(
      CODE.INTERNAL,
      `failed set socket label: ${context}: ${messageOf(error)}`,
      'selinuxContext needs a kernel with SELinux and a context of its policy',
    );
  }
  try {
    return await start();
  } finally {
    writeFileSync(EXEC_LABEL, '');
  }
}
