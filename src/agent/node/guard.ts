import { describeError } from '../../base/errors.ts';
import type { Log } from '../../base/log.ts';
import { EventSocket } from '../../net/rtnetlink/events.ts';
import { affectsOverlay } from '../kernel/events.ts';
import type { OverlayNode } from './node.ts';

/** How often the kernel's events are fetched. */
const LOOK_MS = 500;
/** Looks after which the state is compared even without an event: addresses and settings change silently. */
const LOOKS_A_ROUND = 20;

/** Mends a node when someone changes its device, routes or neighbours, and every ten seconds. */
export class NodeGuard {
  readonly #node: OverlayNode;
  readonly #log: Log;
  readonly #events: EventSocket;
  readonly #timer: NodeJS.Timeout;
  #looks = 0;
  #busy = false;
  /** The last failure, which is told once and not every ten seconds. */
  #trouble = '';

  /** @throws NetError when the namespace cannot be entered */
  constructor(node: OverlayNode, log: Log) {
    this.#node = node;
    this.#log = log;
    this.#events = new EventSocket(node.settled.config.namespace, ['link', 'route', 'neighbour']);
    this.#timer = setInterval(() => void this.#look(), LOOK_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#events.close();
  }

  async #look(): Promise<void> {
    if (this.#busy) return;
    this.#busy = true;
    try {
      const { device } = this.#node.settled.config;
      const news = this.#events.drain().some(event => affectsOverlay(event, [device]));
      if (++this.#looks % LOOKS_A_ROUND === 0 || news) await this.#heal();
    } catch (error) {
      const text = describeError(error);
      if (text !== this.#trouble) this.#log.error({ err: text }, 'the kernel state is not as it should be');
      this.#trouble = text;
    } finally {
      this.#busy = false;
    }
  }

  async #heal(): Promise<void> {
    const steps = await this.#node.heal();
    this.#trouble = '';
    if (steps.length > 0) this.#log.warn({ steps }, 'someone changed the kernel state: mended');
  }
}
