import type { NetworkConfig } from '../config/net-conf.ts';
import type { NodeOverrides } from '../lease/store.ts';
import type { AgentOptions } from './options.ts';
import { underlayFamilies } from './plan.ts';
import { chooseUnderlay, type LinkSnapshot, type Placement, type Underlay } from './underlay.ts';

/** Placements of an agent, as `last-known.json` keeps them for a restart. */
export interface UnderlayHistory {
  /** The flags and the overrides under which the placements were chosen; another wish makes them void. */
  readonly wish: string;
  /** Chosen first: the agent returns to this one. */
  readonly home: Placement;
  /** In use. */
  readonly current: Placement;
}

type Wishes = Pick<AgentOptions, 'iface' | 'ifaceRegex' | 'ifaceCanReach' | 'publicIp' | 'publicIpv6'>;

/**
 * Chooses the underlay interface and keeps the choice: the placement of the first choice is preferred as long as it
 * exists, and again when it returns.
 */
export class UnderlayChooser {
  readonly #options: Wishes;
  readonly #view: LinkSnapshot;
  #history: UnderlayHistory | undefined;

  constructor(options: Wishes, view: LinkSnapshot, history?: UnderlayHistory) {
    this.#options = options;
    this.#view = view;
    this.#history = history;
  }

  get view(): LinkSnapshot {
    return this.#view;
  }

  get history(): UnderlayHistory | undefined {
    return this.#history;
  }

  /** Takes over what a previous run of the agent used. */
  remember(history: UnderlayHistory | undefined): void {
    this.#history ??= history;
  }

  /** The underlay as this node is now. @throws RipstopError EUNDERLAY, ECONFIG */
  choose(config: NetworkConfig, overrides: NodeOverrides): Underlay {
    const wish = this.#wish(config, overrides);
    const history = this.#historyOf(JSON.stringify(wish));
    const { publishedIp, publishedIpv6 } = overrides;
    return chooseUnderlay(wish, this.#view, {
      chosen: history ? [history.home, history.current] : [],
      // The flags changed since the last run: what was published under the former flags is no preference.
      published: this.#history ? [] : [publishedIp, publishedIpv6].filter(address => address !== undefined),
    });
  }

  /** A session begins on this underlay. */
  settle({ name, address4, address6 }: Underlay, config: NetworkConfig, overrides: NodeOverrides): void {
    const wish = JSON.stringify(this.#wish(config, overrides));
    const current = { name, address4, address6 };
    this.#history = { wish, home: this.#historyOf(wish)?.home ?? current, current };
  }

  #historyOf(wish: string): UnderlayHistory | undefined {
    return this.#history?.wish === wish ? this.#history : undefined;
  }

  #wish(config: NetworkConfig, overrides: NodeOverrides) {
    const { iface, ifaceRegex, ifaceCanReach, publicIp, publicIpv6 } = this.#options;
    const isNamed = iface.length > 0 || ifaceRegex.length > 0 || ifaceCanReach !== '';
    const underlay = isNamed ? undefined : config.single?.underlay;
    return {
      iface: underlay === undefined ? iface : [underlay],
      ifaceRegex,
      ifaceCanReach,
      publicIp: overrides.publicIp ?? publicIp,
      publicIpv6: overrides.publicIpv6 ?? publicIpv6,
      ...underlayFamilies(config),
    };
  }
}
