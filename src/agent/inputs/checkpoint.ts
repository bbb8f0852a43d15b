import { RipstopError } from '../../base/errors.ts';
import {
  anyValue,
  listOf,
  number,
  objectOf,
  readObject,
  required,
  type Shape,
  string,
} from '../../base/schema.ts';
import type { Family } from '../../ip/address.ts';
import { formatPrefix, type Prefix, parsePrefix } from '../../ip/prefix.ts';
import { attributesJson, type Lease, readAttributes } from '../lease/lease.ts';
import type { KeptLeases, NodeOverrides } from '../lease/store.ts';
import type { UnderlayHistory } from './underlay-chooser.ts';

/** The network configuration as the store has it, and its name for messages. */
export interface ConfigText {
  readonly text: string;
  readonly source: string;
}

/** The saved state, with which the agent starts until the store has answered, or while it is unreachable. */
export interface Checkpoint {
  /** `location` of the store that it came from. */
  readonly store: string;
  readonly config: ConfigText;
  readonly lease: Lease;
  /** By key. May change in place until the state is written. */
  readonly leases: ReadonlyMap<string, Lease>;
  /** Keys of leases that contradict those of peers. */
  readonly refused: ReadonlySet<string>;
  /** What the store sets for this node. */
  readonly overrides: NodeOverrides;
  readonly underlay?: UnderlayHistory | undefined;
  /** The leases that an emptied store lost. */
  readonly kept?: KeptLeases | undefined;
}

/** Version of the file. A file of another version is ignored. */
const VERSION = 1;

const leaseFields = {
  key: required(string),
  v4: string,
  v6: string,
  attributes: required(anyValue()),
  expiresAt: number,
  since: number,
};

const overrideFields = {
  publicIp: string,
  publicIpv6: string,
  overwriteIp: string,
  overwriteIpv6: string,
  mac: string,
  mac6: string,
  publishedIp: string,
  publishedIpv6: string,
  nodeUid: string,
};

const placement = objectOf({ name: required(string), address4: string, address6: string }, '');

const checkpointFields = {
  version: required(number),
  store: required(string),
  config: required(objectOf({ text: required(string), source: required(string) }, '')),
  lease: required(objectOf(leaseFields, '')),
  leases: required(listOf(objectOf(leaseFields, ''), '')),
  overrides: required(objectOf(overrideFields, '')),
  underlay: objectOf(
    { selector: required(string), home: required(placement), current: required(placement) },
    '',
  ),
  refused: required(listOf(string)),
  kept: objectOf({ keys: required(listOf(string)), until: required(number), why: required(string) }, ''),
};

/** The checkpoint in a file; undefined for other content, and for another version. */
export function parseCheckpoint(raw: unknown): Checkpoint | undefined {
  try {
    const { version, lease, leases, overrides, refused, ...rest } = readObject(checkpointFields, raw, '');
    if (version !== VERSION) return undefined;
    return {
      ...rest,
      lease: fromJson(lease),
      leases: new Map(leases.map(each => [each.key, fromJson(each)])),
      overrides: withoutAbsent(overrides),
      refused: new Set(refused),
    };
  } catch (error) {
    if (error instanceof RipstopError) return undefined;
    throw error;
  }
}

/** Formats a checkpoint as one line. The text of a lease is cached. */
export function formatCheckpoint(checkpoint: Checkpoint): string {
  const { store, config, overrides, underlay, kept, lease, leases } = checkpoint;
  const refused = [...checkpoint.refused];
  const head = JSON.stringify({ version: VERSION, store, config, overrides, underlay, refused, kept });
  const all = Array.from(leases.values(), leaseText).join();
  return `${head.slice(0, -1)},"lease":${leaseText(lease)},"leases":[${all}]}\n`;
}

function withoutAbsent(overrides: Shape<typeof overrideFields>): NodeOverrides {
  return Object.fromEntries(Object.entries(overrides).filter(([, value]) => value !== undefined));
}

const texts = new WeakMap<Lease, string>();

function leaseText(lease: Lease): string {
  const known = texts.get(lease);
  if (known !== undefined) return known;
  const text = JSON.stringify(toJson(lease));
  texts.set(lease, text);
  return text;
}

function toJson({ key, v4, v6, attributes, expiresAt, since }: Lease): object {
  return {
    key,
    v4: v4 && formatPrefix(v4),
    v6: v6 && formatPrefix(v6),
    attributes: attributesJson(attributes),
    expiresAt,
    since,
  };
}

/** @throws RipstopError ELEASE for a lease that no agent has saved */
function fromJson({ key, v4, v6, attributes, expiresAt, since }: Shape<typeof leaseFields>): Lease {
  const subnet = (text: string | undefined, family: Family): Prefix | undefined => {
    if (text === undefined) return undefined;
    const prefix = parsePrefix(text);
    if (prefix?.family === family) return prefix;
    throw new RipstopError('ELEASE', `${key}: ${JSON.stringify(text)} is not an IPv${family} subnet`);
  };
  if (v4 === undefined && v6 === undefined) throw new RipstopError('ELEASE', `${key}: no subnet`);
  return {
    key,
    v4: subnet(v4, 4),
    v6: subnet(v6, 6),
    attributes: readAttributes(attributes, key),
    expiresAt,
    node: undefined,
    since,
  };
}
