import { listOf, openObject, required, text } from '../../../base/schema.ts';
import { type KubeHttp, METADATA_ONLY } from './http.ts';
import { type AnnotationNames, NODE_FIELDS } from './node.ts';
import { readPages } from './pages.ts';

/** A page of a list of Nodes without spec and status. */
const METADATA_LIST = {
  metadata: openObject({ continue: text('a text', 'token of the next page') }, 'of the list'),
  items: required(listOf(openObject({ metadata: NODE_FIELDS.metadata }, 'a Node'), 'Nodes')),
};

export interface DuplicateSearch {
  /** Name of this Node. */
  readonly own: string;
  /** Public address of this node. */
  readonly identity: string;
  readonly names: AnnotationNames;
  readonly signal: AbortSignal;
  expired(error: Error): void;
}

/**
 * Names of the other Nodes whose annotations have the public address. A thousand nodes may start at once: annotations
 * alone are listed, from the server's cache.
 */
export async function nodesWithAddress(http: KubeHttp, search: DuplicateSearch): Promise<string[]> {
  const { own, identity, names, signal, expired } = search;
  let found: string[] = [];
  await readPages({
    // A server that reads version 0 from its cache may ignore the limit, and then returns all Nodes at once.
    first: 'resourceVersion=0',
    signal,
    ask: query => http.list(`/api/v1/nodes?${query}`, METADATA_LIST, METADATA_ONLY),
    begin: () => {
      found = [];
    },
    take: ({ items }) => {
      for (const { metadata } of items) {
        const { annotations = {}, name } = metadata;
        if (name !== own && (annotations[names.publicIp] ?? annotations[names.publicIpv6]) === identity)
          found.push(name);
      }
    },
    expired,
  });
  return found;
}
