import { setTimeout as sleep } from 'node:timers/promises';
import type { Status } from '../../../api/answers.ts';
import { getJson } from '../../../api/client.ts';
import { hasCode } from '../../../base/errors.ts';

const POLL_MS = 250;

/**
 * Waits until an agent listens on the socket and its node is ready.
 * @returns the last status, which is not ready when the time is over
 * @throws RipstopError ENOAGENT when no agent answered in that time; other errors at once
 */
export async function waitUntilReady(socket: string, seconds: number): Promise<Status> {
  const end = performance.now() + seconds * 1000;
  for (;;) {
    const isOver = performance.now() >= end;
    try {
      const status = await getJson(socket, '/status');
      if (status.ready || isOver) return status;
    } catch (error) {
      if (isOver || !hasCode(error, 'ENOAGENT')) throw error;
    }
    await sleep(POLL_MS);
  }
}
