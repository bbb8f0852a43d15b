import { readFile } from 'node:fs/promises';
import { messageOf, RipstopError } from '../../../base/errors.ts';
import { fail, openObject, parseJson, required, text } from '../../../base/schema.ts';
import { type Family, formatAddress, parseAddress } from '../../../ip/address.ts';
import { parseVxlanData } from '../../lease/backend-data.ts';
import { addressInUse, identityOf, type Lease } from '../../lease/lease.ts';
import type {
  KnownLeases,
  LeaseRequest,
  LeaseStore,
  NodeEvent,
  NodeOverrides,
  StoreObserver,
} from '../../lease/store.ts';
import { LeaseBook } from '../lease-book.ts';
import { Unreadable } from '../unreadable.ts';
import type { KubeAccess } from './access.ts';
import { NodeCondition } from './condition.ts';
import { nodesWithAddress } from './duplicates.ts';
import { KubeHttp } from './http.ts';
import { Informer } from './informer.ts';
import { KubeError } from './kube-error.ts';
import {
  type AnnotationNames,
  annotationChanges,
  annotationNames,
  checkSubnets,
  NODE_FIELDS,
  type NodeObject,
  readNode,
  toAnnotations,
  toLease,
} from './node.ts';
import { eventObject, timestamp } from './node-event.ts';

export interface KubeStoreOptions {
  readonly access: KubeAccess;
  readonly nodeName: string;
  readonly annotationPrefix: string;
  /** Path of net-conf.json, a mounted ConfigMap. */
  readonly configPath: string;
  /** Maintain the Node's condition NetworkUnavailable. */
  readonly setCondition: boolean;
  /** How often the mounted configuration is looked at, ms. */
  readonly configPollMs?: number;
}

/** The part of a Pod that names its Node. */
const POD_FIELDS = {
  spec: required(openObject({ nodeName: required(text('a name', 'its Node')) }, 'of the Pod')),
};

/** What is written when the agent is ready. */
const READINESS = 'condition NetworkUnavailable of the Node or its Event';
/** Reads of the configuration that fail one after the other until it counts as deleted: one can meet the change of a mount. */
const DELETED_AFTER = 2;
/** Key of an object whose name cannot be read. */
const UNNAMED = 'a Node';

/** Leases in the annotations of Node objects, as flannel keeps them. */
export class KubeStore implements LeaseStore {
  readonly kind = 'kubernetes';
  readonly location: string;
  readonly allocates = false;
  readonly unreadable = new Unreadable();
  readonly #http: KubeHttp;
  readonly #options: KubeStoreOptions;
  readonly #names: AnnotationNames;
  readonly #condition: NodeCondition;
  readonly failing = new Map<string, string>();
  readonly #abort = new AbortController();
  #observer: StoreObserver | undefined;
  #mirror: Informer<NodeObject> | undefined;
  #book: LeaseBook | undefined;
  #poll: NodeJS.Timeout | undefined;
  /** Undefined: the file was deleted, or was never read. */
  #lastConfig: string | undefined;
  #failedReads = 0;
  #nodeUid = '';

  constructor(options: KubeStoreOptions) {
    this.#options = options;
    this.#names = annotationNames(options.annotationPrefix);
    this.#http = new KubeHttp(options.access);
    this.#condition = new NodeCondition(
      {
        setCondition: () => this.#setCondition(),
        tellReady: message => this.#post({ type: 'Normal', reason: 'RipstopReady', message }),
        failing: error => this.#note(error),
      },
      options.setCondition,
    );
    this.location = this.#http.location;
  }

  /** The Node's name: NODE_NAME, or that of the node which runs our pod (POD_NAME and POD_NAMESPACE). */
  static async nodeName(
    access: KubeAccess,
    env: Readonly<Record<string, string | undefined>>,
  ): Promise<string> {
    if (env.NODE_NAME) return env.NODE_NAME;
    const { POD_NAME: pod, POD_NAMESPACE: namespace } = env;
    if (!pod || !namespace)
      throw new RipstopError(
        'ECONFIG',
        'the name of this Node is not known',
        'set NODE_NAME (fieldRef spec.nodeName), or --node-name',
      );
    const http = new KubeHttp(access);
    try {
      const { spec } = await http.get(`/api/v1/namespaces/${namespace}/pods/${pod}`, POD_FIELDS);
      return spec.nodeName;
    } finally {
      http.close();
    }
  }

  async networkConfig(): Promise<{ text: string; source: string }> {
    const source = this.#options.configPath;
    try {
      this.#lastConfig = await readFile(source, 'utf8');
    } catch (error) {
      // Whatever its text, it is news when it is there again.
      this.#lastConfig = undefined;
      throw new RipstopError(
        'ECONFIG',
        messageOf(error),
        'mount the ConfigMap with net-conf.json, or set --net-config-path',
      );
    }
    return { text: this.#lastConfig, source };
  }

  async overrides(): Promise<NodeOverrides> {
    const { annotations = {}, uid: nodeUid } = (await this.#node()).metadata;
    const names = this.#names;
    const address = (name: string, family: Family): string | undefined => {
      const text = annotations[name];
      return text
        ? readAddress(text, family, `Node ${this.#options.nodeName}: annotation ${name}`)
        : undefined;
    };
    const publicIp = address(names.nodePublicIp, 4);
    const publicIpv6 = address(names.nodePublicIpv6, 6);
    const overwriteIp = address(names.publicIpOverwrite, 4);
    const overwriteIpv6 = address(names.publicIpv6Overwrite, 6);
    const mac = ownMac(annotations[names.backendData]);
    const mac6 = ownMac(annotations[names.backendV6Data]);
    const [publishedIp, publishedIpv6] = [annotations[names.publicIp], annotations[names.publicIpv6]];
    return {
      ...(publicIp ? { publicIp } : {}),
      ...(publicIpv6 ? { publicIpv6 } : {}),
      ...(overwriteIp ? { overwriteIp } : {}),
      ...(overwriteIpv6 ? { overwriteIpv6 } : {}),
      ...(mac ? { mac } : {}),
      ...(mac6 ? { mac6 } : {}),
      ...(publishedIp ? { publishedIp } : {}),
      ...(publishedIpv6 ? { publishedIpv6 } : {}),
      ...(nodeUid ? { nodeUid } : {}),
    };
  }

  async acquire(request: LeaseRequest): Promise<Lease> {
    const node = await this.#node();
    const subnets = checkSubnets(node, request.config);
    await this.#refuseDuplicate(identityOf(request.attributes));
    const current = node.metadata.annotations ?? {};
    const annotations = annotationChanges(
      toAnnotations(request.attributes, this.#names),
      current,
      this.#names,
    );
    if (Object.keys(annotations).length > 0)
      await this.#http.patch(`${this.#path()}/status`, { metadata: { annotations } }, NODE_FIELDS);
    return {
      ...subnets,
      key: this.#options.nodeName,
      attributes: request.attributes,
      expiresAt: 0,
      node: this.#options.nodeName,
    };
  }

  /** A lease ends with its Node; undefined when an operator removed the annotations. */
  async renew(lease: Lease): Promise<Lease | undefined> {
    const node = await this.#node();
    return node.metadata.annotations?.[this.#names.managed] === 'true' ? lease : undefined;
  }

  follow(observer: StoreObserver, known?: KnownLeases): void {
    this.#observer = observer;
    const book = new LeaseBook(observer, known);
    book.own = this.#options.nodeName;
    this.#book = book;
    this.#mirror = new Informer<NodeObject>(this.#http, '/api/v1/nodes', {
      read: node => this.#nodeOf(node, observer),
      replaced: (items, unread) => {
        const names = new Set(items.map(item => item.metadata.name));
        this.#see(items.find(item => item.metadata.name === this.#options.nodeName));
        this.unreadable.keep(name => names.has(name) || (name === UNNAMED && unread > 0));
        book.replace(items.map(item => this.#read(item, observer)).filter(lease => lease !== undefined));
        book.flush();
      },
      changed: item => {
        if (item.metadata.name === this.#options.nodeName) this.#see(item);
        const lease = this.#read(item, observer);
        if (lease) book.put(lease);
        else book.delete(item.metadata.name);
      },
      deleted: name => {
        if (name === this.#options.nodeName) this.#see(undefined);
        this.unreadable.delete(name);
        book.delete(name);
      },
      up: () => observer.up(),
      down: error => observer.down(error),
      expired: error => this.#listExpired(error),
    });
    this.#poll = setInterval(() => void this.#readConfig(observer), this.#options.configPollMs ?? 5000);
  }

  ready(message: string): void {
    this.#condition.ready(message);
  }

  async #setCondition(): Promise<NodeObject> {
    const now = timestamp();
    const condition = {
      type: 'NetworkUnavailable',
      status: 'False',
      reason: 'RipstopIsUp',
      message: 'Ripstop carries pod traffic on this node',
      lastTransitionTime: now,
      lastHeartbeatTime: now,
    };
    return this.#http.patch(`${this.#path()}/status`, { status: { conditions: [condition] } }, NODE_FIELDS);
  }

  async recordEvent(event: NodeEvent): Promise<void> {
    await this.#post(event).catch(() => {});
  }

  async #post(event: NodeEvent): Promise<void> {
    const object = eventObject(event, this.#options.nodeName, this.#nodeUid);
    await this.#http.post('/api/v1/namespaces/default/events', object);
  }

  reconnect(): void {
    this.#http.reconnect();
  }

  async close(): Promise<void> {
    clearInterval(this.#poll);
    this.#abort.abort();
    this.#book?.close();
    const closed = Promise.all([this.#condition.close(), this.#mirror?.close()]);
    // Both may wait for an answer of a server that gives none.
    this.#http.close();
    await closed;
  }

  /** Takes this node's Node as the watch shows it; undefined: it is gone. */
  #see(node: NodeObject | undefined): void {
    if (node?.metadata.uid) this.#nodeUid = node.metadata.uid;
    this.#condition.seen(node);
  }

  #path(): string {
    return `/api/v1/nodes/${encodeURIComponent(this.#options.nodeName)}`;
  }

  async #node(): Promise<NodeObject> {
    try {
      const node = await this.#http.get(this.#path(), NODE_FIELDS);
      this.#nodeUid = node.metadata.uid ?? '';
      return node;
    } catch (error) {
      if (error instanceof KubeError && error.status === 404)
        throw new RipstopError(
          'ENOLEASE',
          `Node ${this.#options.nodeName} does not exist`,
          'has the kubelet registered it, and is NODE_NAME right?',
        );
      throw error;
    }
  }

  /**
   * A Node that is Ready under our public address is a duplicate; one that is gone but not yet deleted does not count. Only
   * a Node that has the address is read whole.
   */
  async #refuseDuplicate(identity: string): Promise<void> {
    const suspects = await nodesWithAddress(this.#http, {
      own: this.#options.nodeName,
      identity,
      names: this.#names,
      signal: this.#abort.signal,
      expired: error => this.#listExpired(error),
    });
    for (const name of suspects) {
      const suspect = await this.#http.get(`/api/v1/nodes/${encodeURIComponent(name)}`, NODE_FIELDS);
      if (this.#read(suspect)?.node) throw addressInUse(name, identity);
    }
  }

  #listExpired(error: Error): void {
    const what = `the list of Nodes expired before its last page was read: ${messageOf(error)}`;
    this.#observer?.retrying?.(new RipstopError('ESTORE', what));
  }

  /** Keeps why the Node's condition or its Event cannot be written; undefined: both hold. */
  #note(error: unknown): void {
    const text = error === undefined ? undefined : messageOf(error);
    if (text === undefined) this.failing.delete(READINESS);
    else if (this.failing.get(READINESS) !== text) {
      this.failing.set(READINESS, text);
      this.#observer?.retrying?.(new RipstopError('ESTORE', `cannot write the ${READINESS}: ${text}`));
    }
  }

  /** A Node of the API server; undefined for another object, which is reported once. */
  #nodeOf(raw: unknown, observer: StoreObserver): NodeObject | undefined {
    try {
      return readNode(raw, this.#names);
    } catch (error) {
      this.unreadable.note(UNNAMED, error, observer);
      return undefined;
    }
  }

  #read(node: NodeObject, observer?: StoreObserver): Lease | undefined {
    try {
      const lease = toLease(node, this.#names);
      if (observer) this.unreadable.delete(node.metadata.name);
      return lease;
    } catch (error) {
      if (observer) this.unreadable.note(node.metadata.name, error, observer);
      return undefined;
    }
  }

  async #readConfig(observer: StoreObserver): Promise<void> {
    const text = await readFile(this.#options.configPath, 'utf8').catch(() => undefined);
    this.#failedReads = text === undefined ? this.#failedReads + 1 : 0;
    if (text === this.#lastConfig || (text === undefined && this.#failedReads < DELETED_AFTER)) return;
    this.#lastConfig = text;
    observer.config(text);
  }
}

/** An address that an operator set, in its usual form. @throws RipstopError ECONFIG */
function readAddress(text: string, family: Family, where: string): string {
  const address = parseAddress(text);
  return address?.family === family
    ? formatAddress(address)
    : fail(where, `${JSON.stringify(text)} is not an IPv${family} address`);
}

/** The VTEP MAC of the previous run, from our own annotation; undefined when there is none that is sound. */
function ownMac(json: string | undefined): string | undefined {
  try {
    return json ? parseVxlanData(parseJson(json, 'own annotation'), 'own annotation').mac : undefined;
  } catch {
    return undefined;
  }
}
