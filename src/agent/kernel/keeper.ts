import { isNetError } from '../../net/error.ts';
import { replaceRoute } from '../../net/routes.ts';
import { NetlinkSocket } from '../../net/socket.ts';
import { isRefusal, refusedSettings, writeSetting } from '../../net/sysctl.ts';
import { applyStep } from './apply.ts';
import { diff } from './diff.ts';
import { isOurs, observe } from './observe.ts';
import type { DesiredState, ObservedRoute, Territory } from './state.ts';
import { isRemoval, type Step } from './steps.ts';

const NOTHING: DesiredState = { neighbours: [], forwarding: [], routes: [], settings: [] };

/**
 * Keeps the kernel state of one overlay as it should be, and remembers what it changed of others, so that it can be
 * given back. Used by `ripstop run` and by the agent.
 */
export class StateKeeper {
  readonly #socket: NetlinkSocket;
  readonly #territory: Territory;
  /** Former values of settings, in the order in which they were changed. */
  readonly #settings = new Map<string, string>();
  /** Routes of others whose place ours took. */
  readonly #displaced = new Map<string, ObservedRoute>();

  /** @throws NetError when the namespace cannot be entered */
  constructor(netns: string, territory: Territory) {
    this.#socket = new NetlinkSocket({ netns });
    this.#territory = territory;
  }

  get socket(): NetlinkSocket {
    return this.#socket;
  }

  /** The steps that `apply` would make, but for settings that were refused. Changes nothing. @throws RipstopError, NetError */
  plan(wanted: DesiredState): Step[] {
    const names = new Set(refusedSettings().map(({ name }) => name));
    const isRefused = (step: Step): boolean =>
      step.do === 'set-setting' && step.without !== undefined && names.has(step.name);
    return this.#diff(wanted).filter(step => !isRefused(step));
  }

  #diff(wanted: DesiredState): Step[] {
    return diff(wanted, observe(this.#socket, this.#territory, wanted), this.#territory);
  }

  /**
   * Makes what is missing and removes what is stale. A setting that may not be written does not keep the other steps
   * from being made: what works without it works.
   * @param between called after the removals and before the rest: the moment to change the data plane's peers
   * @returns the steps that were made
   * @throws NetError naming the step that failed, after all others for a setting, else at once; what was made stays
   */
  apply(wanted: DesiredState, between?: () => void): Step[] {
    const made: Step[] = [];
    let begun = false;
    let refused: unknown;
    for (const step of this.#diff(wanted)) {
      if (!begun && !isRemoval(step)) {
        begun = true;
        between?.();
      }
      try {
        if (!applyStep(this.#socket, step)) continue;
        this.#remember(step);
        made.push(step);
      } catch (error) {
        // The setting is the reason of what fails after it, as an IPv6 address where IPv6 is switched off.
        if (step.do !== 'set-setting' || !isRefusal(error)) throw refused ?? error;
        refused ??= error;
      }
    }
    if (!begun) between?.();
    if (refused !== undefined) throw refused;
    return made;
  }

  /**
   * Removes our routes and gives back what was changed of others. What hangs on the device ends with the device.
   * Goes on after a failure; safe to call twice.
   * @returns what could not be undone
   */
  retire(): unknown[] {
    const failures: unknown[] = [];
    const attempt = (action: () => void) => {
      try {
        action();
      } catch (error) {
        failures.push(error);
      }
    };
    attempt(() => {
      const { routes } = observe(this.#socket, this.#territory, NOTHING);
      for (const route of routes)
        if (isOurs(route, this.#territory))
          attempt(() => applyStep(this.#socket, { do: 'delete-route', route }));
    });
    for (const { original } of this.#displaced.values()) attempt(() => replaceRoute(this.#socket, original));
    this.#displaced.clear();
    for (const [name, value] of [...this.#settings].reverse())
      attempt(() => {
        try {
          writeSetting(this.#socket.netns, name, value);
        } catch (error) {
          if (!isNetError(error, 'ENOENT')) throw error;
        }
      });
    this.#settings.clear();
    return failures;
  }

  close(): void {
    this.#socket.close();
  }

  #remember(step: Step): void {
    if (step.do === 'set-setting' && step.former !== undefined && !this.#settings.has(step.name))
      this.#settings.set(step.name, step.former);
    if (step.do === 'set-route' && step.former && !isOurs(step.former, this.#territory))
      this.#displaced.set(step.route.destination, step.former);
  }
}
