import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { removeStaleTemps, writeFileAtomic } from '../base/atomic-file.ts';
import { contain } from '../base/boundary.ts';
import { describeError } from '../base/errors.ts';
import { described, listOf, number, readJson, record, string, type ValueOf } from '../base/schema.ts';
import { isPodName, type PodName, PodNames, podAddress } from '../capture/live/pods.ts';

/** Name of the file inside the state directory, and its version: a file of another one is ignored. */
const NAME = 'pods.json';
const VERSION = 1;
/** Addresses that are kept at most; above it the oldest one is forgotten. The same for those that pods have lost. */
const ADDRESSES_MAX = 4096;
const FORMER_MAX = 1024;
/** Longest text of a call that is kept; a call with a longer one gets no name. */
const TEXT_MAX = 512;

/** An address of a pod, and the attachment that it belongs to. */
export const podEntry = record({
  ...podAddress.fields,
  network: described('name of the network configuration', string),
  containerId: described('id of its container', string),
  ifname: described('interface inside the pod', string),
  netns: described('path of its network namespace', string),
  hostLinks: described(
    'interfaces of the node that the CNI result names, e.g. the veth of the pod',
    listOf(string),
  ),
});
const FILE = record({ version: number, pods: listOf(podEntry) });

export type PodEntry = ValueOf<typeof podEntry>;

/** What a CNI call is about: the interface of a container in a network. */
type Attachment = Pick<PodEntry, 'network' | 'containerId' | 'ifname'>;

/**
 * The pods of this node by address, as the CNI calls name them: kept until DEL, GC or a newer owner of the address, also across
 * a restart of the agent. The former owners of addresses are kept as well, because frames are shown with the pods of their time.
 * Where the file cannot be read or written, names are missing and nothing else.
 */
export class PodRegistry {
  readonly #path: string;
  readonly #warn: (text: string) => void;
  /** By address, the oldest first. */
  readonly #current = new Map<string, PodEntry>();
  readonly #former: PodEntry[] = [];
  readonly #names = new PodNames();
  readonly #observers: ((addresses: readonly string[]) => void)[] = [];
  #version = 0;
  #written = 0;
  #writing: Promise<void> | undefined;
  #problem: string | undefined;

  constructor(stateDir: string, warn: (text: string) => void) {
    this.#path = join(stateDir, NAME);
    this.#warn = warn;
    for (const pod of readPods(this.#path))
      if (pod.until === null) this.#current.set(pod.address, pod);
      else this.#former.push(pod);
    this.#names.replace(this.all);
  }

  /** Changes with the content. */
  get version(): number {
    return this.#version;
  }

  /** The former owners of addresses, then the present ones. */
  get all(): readonly PodEntry[] {
    return [...this.#former, ...this.#current.values()];
  }

  get names(): PodNames {
    return this.#names;
  }

  /** Calls `observer` with the addresses whose owner is about to change. */
  observe(observer: (addresses: readonly string[]) => void): void {
    this.#observers.push(observer);
  }

  /**
   * Drops the pods that went away while no agent ran, by a CNI plugin that is not ours: their namespace is gone, or an
   * interface of the node that they had.
   * @param links names of the interfaces of the node
   */
  reconcile(links: ReadonlySet<string>): void {
    this.#end(({ netns, hostLinks }) => isMissing(netns) || hostLinks.some(name => !links.has(name)));
  }

  /**
   * An attachment has these addresses from now on; nothing else has. A plugin of a chain repeats the call of the one before.
   * @param addresses in canonical form
   * @param pod undefined for a container that is no pod, or whose name Kubernetes would not accept
   */
  attached(
    at: Attachment & Pick<PodEntry, 'netns' | 'hostLinks'>,
    addresses: readonly string[],
    pod: PodName | undefined,
  ): void {
    const { network, containerId, ifname, netns, hostLinks } = at;
    const isShort = [network, containerId, ifname, netns].every(text => text.length <= TEXT_MAX);
    const named = pod && isShort && isPodName(pod) ? pod : undefined;
    const isKept = (one: PodEntry) =>
      isSame(one, at) && one.namespace === named?.namespace && one.name === named.name;
    this.#end(one => !isKept(one) && (isSame(one, at) || addresses.includes(one.address)));
    if (!named) return;
    const since = new Date().toISOString();
    const added = addresses.filter(address => !this.#current.has(address));
    if (added.length === 0) return;
    this.#announce(added);
    const { namespace, name } = named;
    const rest = { namespace, name, since, until: null, network, containerId, ifname, netns, hostLinks };
    for (const address of added) this.#current.set(address, { address, ...rest });
    for (const address of this.#current.keys()) {
      if (this.#current.size <= ADDRESSES_MAX) break;
      this.#current.delete(address);
    }
    this.#changed();
  }

  detached(at: Attachment): void {
    this.#end(one => isSame(one, at));
  }

  /** Only these attachments of a network are left. */
  collected(network: string, valid: readonly Omit<Attachment, 'network'>[]): void {
    const isLeft = (one: PodEntry) => valid.some(at => isSame(one, { ...at, network }));
    this.#end(one => one.network === network && !isLeft(one));
  }

  /** Resolves when the content is on disk, or cannot be written. */
  async flush(): Promise<void> {
    await this.#writing;
  }

  /** The pods that have an address no longer. */
  #end(isGone: (one: PodEntry) => boolean): void {
    const gone = [...this.#current.values()].filter(isGone);
    if (gone.length === 0) return;
    this.#announce(gone.map(({ address }) => address));
    const until = new Date().toISOString();
    for (const one of gone) {
      this.#current.delete(one.address);
      this.#former.push({ ...one, until });
    }
    this.#former.splice(0, this.#former.length - FORMER_MAX);
    this.#changed();
  }

  #announce(addresses: readonly string[]): void {
    for (const observer of this.#observers) contain('flows', () => observer(addresses));
  }

  #changed(): void {
    this.#version++;
    this.#names.replace(this.all);
    this.#writing ??= this.#writeAll();
  }

  /** Writes until the file has the latest content: calls that come during a write share the next one. */
  async #writeAll(): Promise<void> {
    if (this.#written === 0) removeStaleTemps(this.#path);
    while (this.#written < this.#version) {
      this.#written = this.#version;
      const text = JSON.stringify({ version: VERSION, pods: this.all });
      const problem = await writeFileAtomic(this.#path, `${text}\n`, 0o600).then(
        () => undefined,
        describeError,
      );
      if (problem !== undefined && problem !== this.#problem)
        this.#warn(`the next start of the agent will not have the names of the pods: ${problem}`);
      this.#problem = problem;
    }
    this.#writing = undefined;
  }
}

/** False where the directory is not visible: an agent in a container has its own /proc. */
function isMissing(netns: string): boolean {
  return existsSync(dirname(netns)) && !existsSync(netns);
}

function isSame(one: Attachment, other: Attachment): boolean {
  return (
    one.network === other.network && one.containerId === other.containerId && one.ifname === other.ifname
  );
}

/** None of a file that is absent or damaged. */
function readPods(path: string): readonly PodEntry[] {
  try {
    const { version, pods } = readJson(FILE, readFileSync(path, 'utf8'), path);
    return version === VERSION ? pods.slice(-(ADDRESSES_MAX + FORMER_MAX)) : [];
  } catch {
    return [];
  }
}
