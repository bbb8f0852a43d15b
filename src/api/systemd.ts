import { execFile } from 'node:child_process';
import { contain } from '../base/boundary.ts';

/**
 * Notifies systemd of the state of the service (sd_notify(3)). Node has no datagram sockets in the file system, so the program that
 * comes with systemd sends the message; the unit has NotifyAccess=all for that. Without NOTIFY_SOCKET nothing happens.
 */
export class Systemd {
  readonly #isThere: boolean;
  /** All that systemd-notify needs; credentials in the agent's environment are not for it. */
  readonly #env: NodeJS.ProcessEnv;
  /** Half of the watchdog's time, as sd_watchdog_enabled(3) advises; undefined: no watchdog. */
  readonly watchdogMs: number | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(env: Readonly<Record<string, string | undefined>>) {
    this.#isThere = Boolean(env.NOTIFY_SOCKET);
    this.#env = { PATH: env.PATH, NOTIFY_SOCKET: env.NOTIFY_SOCKET };
    const micros = Number(env.WATCHDOG_USEC);
    const isOurs = env.WATCHDOG_PID === undefined || Number(env.WATCHDOG_PID) === process.pid;
    this.watchdogMs = this.#isThere && isOurs && micros > 0 ? micros / 2000 : undefined;
  }

  ready(): void {
    this.#notify('READY=1', 'STATUS=forwarding packets');
  }

  status(text: string): void {
    this.#notify(`STATUS=${text}`);
  }

  reloading(): void {
    this.#notify('STATUS=reading the configuration again');
  }

  stopping(): void {
    clearInterval(this.#timer);
    this.#notify('STOPPING=1');
  }

  /** Notifies the watchdog as long as `isWell` holds. */
  watch(isWell: () => boolean): void {
    if (this.watchdogMs === undefined) return;
    this.#timer = setInterval(
      () =>
        contain('systemd', () => {
          if (isWell()) this.#notify('WATCHDOG=1');
        }),
      this.watchdogMs,
    );
  }

  #notify(...words: string[]): void {
    if (!this.#isThere) return;
    // A newline in a reason would begin another assignment, and exec(2) refuses a null byte.
    const lines = words.map(word => word.replace(/\p{Cc}+/gu, ' '));
    // spawn throws where the process cannot be made for lack of memory.
    contain('systemd', () =>
      execFile('systemd-notify', lines, { env: this.#env }, () => {}).on('error', () => {}),
    );
  }
}
