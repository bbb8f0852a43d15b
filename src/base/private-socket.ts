import { chmodSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import type { Server } from 'node:net';
import { dirname } from 'node:path';
import { contained } from './boundary.ts';

/**
 * Listens on a unix socket that only its owner may use. The socket is bound under another name, restricted, then moved: there is
 * no moment in which others could connect, and what listened there before is replaced.
 * @param part name under which later errors of the server are contained: accept(2) may fail (EMFILE), and it goes on listening
 */
export function listenPrivately(server: Server, path: string, part: string): Promise<void> {
  mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
  const temporary = `${path}.${process.pid}`;
  rmSync(temporary, { force: true });
  return new Promise((resolve, reject) => {
    server.on('error', error => (server.listening ? contained(part, error) : reject(error)));
    server.listen(temporary, () => {
      try {
        chmodSync(temporary, 0o600);
        renameSync(temporary, path);
        resolve();
      } catch (error) {
        server.close();
        rmSync(temporary, { force: true });
        reject(error);
      }
    });
  });
}
