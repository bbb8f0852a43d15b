import { described, listOf, nullable, record, string, text, type ValueOf } from '../../base/schema.ts';

/* Names of the pods of a node by address, as the agent gives them to the readers of captures and flows. */

/** Names that Kubernetes accepts (RFC 1123): a label for a namespace, labels with dots between them for a pod. */
const LABEL = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;
const SUBDOMAIN = /^(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;

/** An address of a pod of the node, now or formerly. */
export const podAddress = record({
  address: described('address of the pod', text('an address', '')),
  namespace: described('namespace of the pod', text('a namespace', '', LABEL)),
  name: described('name of the pod', text('a name of a pod', '', SUBDOMAIN)),
  since: described('when the pod got the address', string),
  until: described('when the pod lost the address; null if the pod still has it', nullable(string)),
});

export type PodAddress = ValueOf<typeof podAddress>;
export type PodName = Pick<PodAddress, 'namespace' | 'name'>;

export const podAddresses = listOf(podAddress, 'addresses of the pods of the node');

/** True for names that Kubernetes accepts: they are short and printable. */
export function isPodName({ namespace, name }: PodName): boolean {
  return LABEL.test(namespace) && SUBDOMAIN.test(name);
}

/** `namespace/name`, as the commands write and accept it. */
export function podText({ namespace, name }: PodName): string {
  return `${namespace}/${name}`;
}

/** What is needed to name the pods of frames. */
export interface PodLookup {
  /** True if no address has a name. */
  readonly isEmpty: boolean;
  /**
   * `namespace/name` of the pod that had an address at a time, null for none.
   * @param address in canonical form
   * @param ms milliseconds since 1970
   */
  at(address: string, ms: number): string | null;
}

export const NO_NAMES: PodLookup = { isEmpty: true, at: () => null };

/** The names of pods by address and time: an address that is used again has several. */
export class PodNames implements PodLookup {
  readonly #owners = new Map<string, { from: number; to: number; name: string }[]>();

  constructor(pods: readonly PodAddress[] = []) {
    this.replace(pods);
  }

  get isEmpty(): boolean {
    return this.#owners.size === 0;
  }

  replace(pods: readonly PodAddress[]): void {
    this.#owners.clear();
    for (const pod of pods) {
      const to = pod.until === null ? Number.POSITIVE_INFINITY : Date.parse(pod.until);
      const owner = { from: Date.parse(pod.since), to, name: podText(pod) };
      const owners = this.#owners.get(pod.address);
      if (owners) owners.push(owner);
      else this.#owners.set(pod.address, [owner]);
    }
  }

  at(address: string, ms: number): string | null {
    return this.#owners.get(address)?.find(({ from, to }) => from <= ms && ms <= to)?.name ?? null;
  }
}
