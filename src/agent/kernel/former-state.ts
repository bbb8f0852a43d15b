import { isNetError } from '../../net/error.ts';
import { type Route, replaceRoute } from '../../net/rtnetlink/routes.ts';
import type { NetlinkSocket } from '../../net/rtnetlink/socket.ts';
import { writeSysctl } from '../../net/sysctl.ts';

/** The former values of sysctls and routes of others that were changed since the process started. */
export class FormerState {
  /** Values by name, in the order in which they were changed. */
  readonly #sysctls = new Map<string, string>();
  /** Routes that ours replaced, by destination. */
  readonly #routes = new Map<string, Route>();

  /** Only the first value of a sysctl counts. */
  addSysctl(name: string, value: string): void {
    if (!this.#sysctls.has(name)) this.#sysctls.set(name, value);
  }

  addRoute(destination: string, route: Route): void {
    this.#routes.set(destination, route);
  }

  /** Restores the route that one of ours replaced at a destination, if there was one. @throws NetError */
  restoreRoute(socket: NetlinkSocket, destination: string): void {
    const route = this.#routes.get(destination);
    if (!route) return;
    replaceRoute(socket, route);
    this.#routes.delete(destination);
  }

  /**
   * Restores everything. A failure does not stop the rest.
   * @returns what could not be restored
   */
  restore(socket: NetlinkSocket): unknown[] {
    const failures: unknown[] = [];
    const attempt = (action: () => void): void => {
      try {
        action();
      } catch (error) {
        failures.push(error);
      }
    };
    for (const destination of [...this.#routes.keys()]) attempt(() => this.restoreRoute(socket, destination));
    for (const [name, value] of [...this.#sysctls].reverse())
      attempt(() => {
        try {
          writeSysctl(socket.netns, name, value);
        } catch (error) {
          // It belonged to a device that is gone.
          if (!isNetError(error, 'ENOENT')) throw error;
        }
      });
    this.#sysctls.clear();
    return failures;
  }
}
