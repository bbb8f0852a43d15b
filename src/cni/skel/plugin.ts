import type { Clock } from '../../base/clock.ts';
import type { Fields } from '../../base/schema.ts';
import type { Result } from '../result/types.ts';
import type { SpanLog } from '../telemetry/spans.ts';
import type { Environment, Parameters } from './environment.ts';
import type { NamespaceProbe } from './namespace.ts';
import type { CniVersion } from './version.ts';

/** One invocation, checked: what every handler is given. */
export interface Call extends Parameters {
  /** The whole environment, for delegates. */
  env: Environment;
  /** The configuration, parsed. */
  config: Record<string, unknown>;
  /** The configuration as it came, for delegates that are to see it whole. */
  configText(): string;
  /** Network name. */
  name: string;
  /** Version of configuration and result. */
  version: CniVersion;
  host: Host;
}

/** The services of the process that runs the plugins. Tests and the agent pass their own. */
export interface Host {
  clock: Clock;
  /** Path of the node's own network namespace; '' for the one of this process. */
  netns: string;
  namespaces: NamespaceProbe;
  /** One line to standard error. */
  log(line: string): void;
  /** Plugins of this program, for delegation without a second process; undefined for a foreign type. */
  own(type: string): Promise<Plugin | undefined>;
  /** Delegate to our own plugins without looking for an executable on CNI_PATH. */
  inProcess?: boolean;
  /** Present when the node agent works on the call. */
  agent?: AgentView;
  /** Present when a collector of traces is configured. */
  spans?: SpanLog;
}

/** The agent's state, for plugins. */
export interface AgentView {
  /** Why pods of this node may be unable to reach others, or undefined. */
  trouble(): string | undefined;
  /** Present where the agent keeps the names of pods. */
  pods?: PodRecorder;
}

/** The interface of a container in a network. */
export interface PodAttachment {
  readonly network: string;
  readonly containerId: string;
  readonly ifname: string;
}

/** What calls that have succeeded say about pods and their addresses. */
export interface PodRecorder {
  /**
   * @param at with the path of its namespace, and the interfaces of the node that the result names
   * @param addresses in canonical form
   * @param pod undefined for a container without the names of a pod
   */
  attached(
    at: PodAttachment & { readonly netns: string; readonly hostLinks: readonly string[] },
    addresses: readonly string[],
    pod: { readonly namespace: string; readonly name: string } | undefined,
  ): void;
  detached(at: PodAttachment): void;
  /** @param valid the attachments of the network that are left */
  collected(network: string, valid: readonly Omit<PodAttachment, 'network'>[]): void;
}

/** The keys and differences of a plugin, for docs/reference/cni.md. */
export interface PluginDocs {
  /** Keys by path: `vlan`, `ipam.subnet`, `runtimeConfig.mac`, `CNI_ARGS MAC`. */
  keys: Fields;
  /** Intended differences from the reference plugin of this name, one sentence per entry. */
  differences: readonly string[];
}

/** Every command but VERSION, which the skeleton answers; every version of the specification is known. */
export interface Plugin {
  /** File name of the executable and `type` in configurations. */
  name: string;
  /**
   * False for address management, which never opens the namespace: callers may pass a placeholder. For the others ADD and CHECK
   * need a namespace, which is verified before anything is changed.
   */
  usesNamespace?: boolean;
  docs?: PluginDocs;
  add(call: Call): Promise<Result>;
  /** A command without a handler has nothing to do and succeeds. */
  del?(call: Call): Promise<void>;
  check?(call: Call): Promise<void>;
  gc?(call: Call): Promise<void>;
  status?(call: Call): Promise<void>;
}
