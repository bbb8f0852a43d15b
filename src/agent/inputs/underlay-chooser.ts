import type { NetworkConfig } from '../config/net-conf.ts';
import type { NodeOverrides } from '../lease/store.ts';
import type { AgentOptions } from './options.ts';
import { underlayFamilies } from './plan.ts';
import { chooseUnderlay, type LinkSnapshot, type Placement, type Underlay } from './underlay.ts';

/** Placements of an agent, saved for a restart in `last-known.json`. */
export interface UnderlayHistory {
  /** The selector under which the placements were chosen, as JSON; they are void under another one. */
  readonly selector: string;
  /** The first choice, to which the agent returns. */
  readonly home: Placement;
  /** In use. */
  readonly current: Placement;
}

type SelectorOptions = Pick<
  AgentOptions,
  'iface' | 'ifaceRegex' | 'ifaceCanReach' | 'publicIp' | 'publicIpv6'
>;

/** Chooses the underlay interface. The first choice is preferred as long as it exists, and again when it returns. */
export class UnderlayChooser {
  readonly #options: SelectorOptions;
  readonly view: LinkSnapshot;
  /** Placements of this run, or of the previous one. */
  history: UnderlayHistory | undefined;

  constructor(options: SelectorOptions, view: LinkSnapshot, history?: UnderlayHistory) {
    this.#options = options;
    this.view = view;
    this.history = history;
  }

  /** The underlay as this node is now. @throws RipstopError EUNDERLAY, ECONFIG */
  choose(config: NetworkConfig, overrides: NodeOverrides): Underlay {
    const selector = this.#selector(config, overrides);
    const history = this.#historyOf(JSON.stringify(selector));
    const { publishedIp, publishedIpv6, overwriteIp, overwriteIpv6 } = overrides;
    const chosen = chooseUnderlay(selector, this.view, {
      chosen: history ? [history.home, history.current] : [],
      // After a change of the flags, what was published under the former flags is not preferred.
      published: this.history
        ? []
        : [publishedIp, publishedIpv6].filter(
            // An address that an operator has published instead is not one of the interface in use.
            (address): address is string =>
              address !== undefined && address !== overwriteIp && address !== overwriteIpv6,
          ),
    });
    return {
      ...chosen,
      public4: chosen.public4 && (overwriteIp ?? chosen.public4),
      public6: chosen.public6 && (overwriteIpv6 ?? chosen.public6),
    };
  }

  /** A network starts on this underlay. */
  settle({ name, address4, address6 }: Underlay, config: NetworkConfig, overrides: NodeOverrides): void {
    const selector = JSON.stringify(this.#selector(config, overrides));
    const current = { name, address4, address6 };
    this.history = { selector, home: this.#historyOf(selector)?.home ?? current, current };
  }

  #historyOf(selector: string): UnderlayHistory | undefined {
    return this.history?.selector === selector ? this.history : undefined;
  }

  #selector(config: NetworkConfig, overrides: NodeOverrides) {
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
