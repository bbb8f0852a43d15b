import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

type Json = Record<string, unknown>;

export interface FakeNode {
  metadata: { name: string; uid: string; resourceVersion: string; annotations: Record<string, string> };
  spec: { podCIDR?: string; podCIDRs?: string[] };
  status: { conditions: Json[] };
}

interface Change {
  version: number;
  type: 'ADDED' | 'MODIFIED' | 'DELETED';
  object: FakeNode;
}

/**
 * An API server in small, behaving as the Kubernetes API documents it for what the agent uses: nodes with get, paged
 * list, watch (bookmarks, 410 for versions out of history), strategic merge patch on the status subresource, and
 * events. `faults` are answers for the next requests whose `METHOD path` begins with the key; status 0 cuts the connection.
 */
export class KubeApi {
  readonly nodes = new Map<string, FakeNode>();
  readonly events: Json[] = [];
  /** `METHOD path?query` of every request. */
  readonly requests: string[] = [];
  readonly faults: { match: string; status: number; headers?: Record<string, string>; reason?: string }[] =
    [];
  token = '';
  /** Takes connections and answers nothing. */
  isSilent = false;
  url = '';
  #server: Server;
  #port = 0;
  #version = 100;
  #oldest = 0;
  #history: Change[] = [];
  #watches = new Set<ServerResponse>();

  private constructor() {
    this.#server = this.#make();
  }

  static async start(): Promise<KubeApi> {
    const api = new KubeApi();
    await api.up();
    return api;
  }

  /** Listens (again, on the same port). */
  async up(): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(this.#port, '127.0.0.1', resolve);
    });
    this.#port = (this.#server.address() as AddressInfo).port;
    this.url = `http://127.0.0.1:${this.#port}`;
  }

  async down(): Promise<void> {
    const server = this.#server;
    server.closeAllConnections();
    await new Promise(resolve => server.close(resolve));
    this.#server = this.#make();
  }

  /** Answers again; a client that waits for an answer must repeat its request. */
  speak(): void {
    this.isSilent = false;
    this.#server.closeAllConnections();
  }

  addNode(
    name: string,
    spec: FakeNode['spec'],
    annotations: Record<string, string> = {},
    isReady = true,
  ): void {
    const conditions = [{ type: 'Ready', status: isReady ? 'True' : 'Unknown' }];
    const metadata = { name, uid: `uid-${name}`, resourceVersion: '', annotations };
    this.#commit('ADDED', { metadata, spec, status: { conditions } });
  }

  /** Changes annotations of a node as another client would; null removes one. */
  annotate(name: string, annotations: Record<string, string | null>): void {
    this.#merge(this.nodes.get(name)!, { metadata: { annotations } });
  }

  /** Gives a Node another uid, as in a cluster that its machine joined without a reboot. */
  replaceNode(name: string, uid: string): void {
    const node = this.nodes.get(name)!;
    this.#commit('MODIFIED', { ...node, metadata: { ...node.metadata, uid } });
  }

  /** Deletes a Node and registers it again with the same pod subnets and nothing of ours. */
  recreateNode(name: string, uid: string, conditions: Json[] = []): void {
    const { spec } = this.nodes.get(name)!;
    this.deleteNode(name);
    const metadata = { name, uid, resourceVersion: '', annotations: {} };
    this.#commit('ADDED', {
      metadata,
      spec,
      status: { conditions: [{ type: 'Ready', status: 'True' }, ...conditions] },
    });
  }

  /** Sets a condition as another controller would. */
  setCondition(name: string, condition: Json): void {
    this.#merge(this.nodes.get(name)!, { status: { conditions: [condition] } });
  }

  deleteNode(name: string): void {
    this.#commit('DELETED', this.nodes.get(name)!);
  }

  /** Forgets the history, as etcd's compaction does: watches from an older version get 410 Gone. */
  compact(): void {
    this.#oldest = this.#version;
    this.#history = [];
  }

  /** Cuts every open watch without a word, in the middle of a line when `midLine`. */
  cutWatches(midLine = false): void {
    for (const watch of this.#watches) {
      const cut = () => watch.socket?.destroy();
      // A response passes its text to the socket only in the next turn of the event loop.
      if (midLine) watch.write('{"type":"MODIFIED","object":{"metada', cut);
      else cut();
    }
  }

  /** Sends a bookmark to every open watch; fulfilled when the kernel has it. */
  async bookmark(): Promise<void> {
    const object = { kind: 'Node', apiVersion: 'v1', metadata: { resourceVersion: String(this.#version) } };
    const line = `${JSON.stringify({ type: 'BOOKMARK', object })}\n`;
    await Promise.all(
      [...this.#watches].map(watch => new Promise<void>(done => watch.write(line, () => done()))),
    );
  }

  get openWatches(): number {
    return this.#watches.size;
  }

  #make(): Server {
    return createServer((request, response) => {
      this.#serve(request, response).catch(error => fail(response, 500, 'InternalError', String(error)));
    });
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const line = `${request.method} ${request.url}`;
    this.requests.push(line);
    if (this.isSilent) return;
    const body = await readBody(request);
    if (this.token && request.headers.authorization !== `Bearer ${this.token}`)
      return fail(response, 401, 'Unauthorized', 'Unauthorized');
    const at = this.faults.findIndex(fault => line.startsWith(fault.match));
    if (at >= 0) {
      const [fault] = this.faults.splice(at, 1);
      if (fault!.status === 0) {
        request.socket.destroy();
        return;
      }
      for (const [name, value] of Object.entries(fault!.headers ?? {})) response.setHeader(name, value);
      return fail(response, fault!.status, fault!.reason ?? '', `asked for by the test`);
    }
    const url = new URL(request.url!, 'http://x');
    const [, node, sub] = /^\/api\/v1\/nodes(?:\/([^/]+)(\/status)?)?$/.exec(url.pathname) ?? [];
    const isNodes = url.pathname.startsWith('/api/v1/nodes');
    if (isNodes && !node && url.searchParams.get('watch')) return this.#watch(url.searchParams, response);
    if (isNodes && !node) return this.#list(url.searchParams, request.headers.accept ?? '', response);
    if (request.method === 'POST' && url.pathname === '/api/v1/namespaces/default/events') {
      this.events.push(JSON.parse(body) as Json);
      return send(response, 201, JSON.parse(body));
    }
    const found = node ? this.nodes.get(node) : undefined;
    if (!found) return fail(response, 404, 'NotFound', `nodes "${node}" not found`);
    if (request.method === 'GET') return send(response, 200, found);
    if (request.method === 'PATCH' && sub) {
      if (request.headers['content-type'] !== 'application/strategic-merge-patch+json')
        return fail(response, 415, 'UnsupportedMediaType', String(request.headers['content-type']));
      this.#merge(found, JSON.parse(body) as Json);
      return send(response, 200, this.nodes.get(node!));
    }
    fail(response, 405, 'MethodNotAllowed', line);
  }

  #list(query: URLSearchParams, accept: string, response: ServerResponse): void {
    const all = [...this.nodes.values()].sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1));
    const from = Number(query.get('continue') ?? 0);
    const limit = Number(query.get('limit') ?? 0) || all.length;
    const isMetadata = accept.includes('as=PartialObjectMetadataList');
    const items = all
      .slice(from, from + limit)
      .map(node => (isMetadata ? { metadata: node.metadata } : node));
    const rest = from + limit < all.length ? { continue: String(from + limit) } : {};
    send(response, 200, {
      kind: isMetadata ? 'PartialObjectMetadataList' : 'NodeList',
      metadata: { resourceVersion: String(this.#version), ...rest },
      items,
    });
  }

  #watch(query: URLSearchParams, response: ServerResponse): void {
    const from = Number(query.get('resourceVersion'));
    if (from < this.#oldest) {
      fail(response, 410, 'Expired', `too old resource version: ${from} (${this.#oldest})`);
      return;
    }
    response.writeHead(200, { 'content-type': 'application/json' });
    response.flushHeaders();
    for (const { version, type, object } of this.#history)
      if (version > from) response.write(`${JSON.stringify({ type, object })}\n`);
    this.#watches.add(response);
    response.on('close', () => this.#watches.delete(response));
  }

  /** Strategic merge of what the status subresource lets through: annotations, and conditions by their type. */
  #merge(old: FakeNode, patch: Json): void {
    const { metadata, status } = patch as {
      metadata?: { annotations?: Json };
      status?: { conditions?: Json[] };
    };
    const annotations = { ...old.metadata.annotations };
    for (const [key, value] of Object.entries(metadata?.annotations ?? {}))
      if (value === null) delete annotations[key];
      else annotations[key] = String(value);
    const conditions = [...old.status.conditions];
    for (const condition of status?.conditions ?? []) {
      const at = conditions.findIndex(({ type }) => type === condition.type);
      if (at >= 0) conditions[at] = { ...conditions[at], ...condition };
      else conditions.push(condition);
    }
    this.#commit('MODIFIED', { ...old, metadata: { ...old.metadata, annotations }, status: { conditions } });
  }

  #commit(type: Change['type'], changed: FakeNode): void {
    const version = ++this.#version;
    const object = { ...changed, metadata: { ...changed.metadata, resourceVersion: String(version) } };
    if (type === 'DELETED') this.nodes.delete(object.metadata.name);
    else this.nodes.set(object.metadata.name, object);
    this.#history.push({ version, type, object });
    for (const watch of this.#watches) watch.write(`${JSON.stringify({ type, object })}\n`);
  }
}

async function readBody(request: IncomingMessage): Promise<string> {
  let text = '';
  for await (const chunk of request.setEncoding('utf8')) text += chunk;
  return text;
}

function send(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
}

function fail(response: ServerResponse, code: number, reason: string, message: string): void {
  send(response, code, { kind: 'Status', apiVersion: 'v1', status: 'Failure', code, reason, message });
}
