import type { ServiceClientConstructor } from '@grpc/grpc-js';
import { loadPackageDefinition } from '@grpc/grpc-js';
import { fromJSON } from '@grpc/proto-loader';

/*
 * The part of etcd's v3 API that leases need: names and field numbers of rpc.proto and kv.proto, as protobufjs
 * takes them. 64-bit numbers arrive as decimal text: lease ids do not fit a double.
 */

/** One key with its value, as it arrives. */
export interface RawKeyValue {
  key: Buffer;
  value: Buffer;
  createRevision: string;
  modRevision: string;
  /** Lease id, `0` for a key that never ends. */
  lease: string;
}

export interface WatchEvent {
  type: 'PUT' | 'DELETE';
  kv: RawKeyValue;
}

export interface WatchResponse {
  header: { clusterId: string; revision: string };
  created: boolean;
  canceled: boolean;
  compactRevision: string;
  cancelReason: string;
  events: WatchEvent[];
}

/** A condition of a transaction on one key. */
export type Compare = { key: string; result: 'EQUAL' } & (
  | { target: 'VERSION'; version: string }
  | { target: 'MOD'; modRevision: string }
);

type FieldSpec = readonly [type: string, id: number, rule?: 'repeated'];

function message(fields: Record<string, FieldSpec>, oneofs: Record<string, string[]> = {}): object {
  return {
    fields: Object.fromEntries(
      Object.entries(fields).map(([name, [type, id, rule]]) => [
        name,
        { type, id, ...(rule ? { rule } : {}) },
      ]),
    ),
    oneofs: Object.fromEntries(Object.entries(oneofs).map(([name, oneof]) => [name, { oneof }])),
  };
}

function call(requestType: string, responseType: string, stream = false): object {
  return { requestType, responseType, ...(stream ? { requestStream: true, responseStream: true } : {}) };
}

const MVCC = {
  KeyValue: message({
    key: ['bytes', 1],
    createRevision: ['int64', 2],
    modRevision: ['int64', 3],
    version: ['int64', 4],
    value: ['bytes', 5],
    lease: ['int64', 6],
  }),
  Event: {
    ...message({ type: ['EventType', 1], kv: ['KeyValue', 2] }),
    nested: { EventType: { values: { PUT: 0, DELETE: 1 } } },
  },
};

const SERVER = {
  ResponseHeader: message({ clusterId: ['uint64', 1], memberId: ['uint64', 2], revision: ['int64', 3] }),
  RangeRequest: message({
    key: ['bytes', 1],
    rangeEnd: ['bytes', 2],
    limit: ['int64', 3],
    revision: ['int64', 4],
  }),
  RangeResponse: message({
    header: ['ResponseHeader', 1],
    kvs: ['mvccpb.KeyValue', 2, 'repeated'],
    more: ['bool', 3],
  }),
  PutRequest: message({ key: ['bytes', 1], value: ['bytes', 2], lease: ['int64', 3] }),
  DeleteRangeRequest: message({ key: ['bytes', 1], rangeEnd: ['bytes', 2] }),
  DeleteRangeResponse: message({ header: ['ResponseHeader', 1], deleted: ['int64', 2] }),
  RequestOp: message({ requestPut: ['PutRequest', 2] }, { request: ['requestPut'] }),
  Compare: {
    ...message(
      {
        result: ['CompareResult', 1],
        target: ['CompareTarget', 2],
        key: ['bytes', 3],
        version: ['int64', 4],
        modRevision: ['int64', 6],
      },
      { targetUnion: ['version', 'modRevision'] },
    ),
    nested: {
      CompareResult: { values: { EQUAL: 0, GREATER: 1, LESS: 2, NOT_EQUAL: 3 } },
      CompareTarget: { values: { VERSION: 0, CREATE: 1, MOD: 2, VALUE: 3, LEASE: 4 } },
    },
  },
  TxnRequest: message({
    compare: ['Compare', 1, 'repeated'],
    success: ['RequestOp', 2, 'repeated'],
  }),
  TxnResponse: message({
    header: ['ResponseHeader', 1],
    succeeded: ['bool', 2],
  }),
  WatchCreateRequest: message({
    key: ['bytes', 1],
    rangeEnd: ['bytes', 2],
    startRevision: ['int64', 3],
    fragment: ['bool', 8],
  }),
  WatchRequest: message({ createRequest: ['WatchCreateRequest', 1] }, { requestUnion: ['createRequest'] }),
  WatchResponse: message({
    header: ['ResponseHeader', 1],
    created: ['bool', 3],
    canceled: ['bool', 4],
    compactRevision: ['int64', 5],
    cancelReason: ['string', 6],
    events: ['mvccpb.Event', 11, 'repeated'],
  }),
  LeaseGrantRequest: message({ TTL: ['int64', 1], ID: ['int64', 2] }),
  LeaseGrantResponse: message({ header: ['ResponseHeader', 1], ID: ['int64', 2], TTL: ['int64', 3] }),
  LeaseRevokeRequest: message({ ID: ['int64', 1] }),
  LeaseRevokeResponse: message({ header: ['ResponseHeader', 1] }),
  LeaseKeepAliveRequest: message({ ID: ['int64', 1] }),
  LeaseKeepAliveResponse: message({ header: ['ResponseHeader', 1], ID: ['int64', 2], TTL: ['int64', 3] }),
  LeaseTimeToLiveRequest: message({ ID: ['int64', 1] }),
  LeaseTimeToLiveResponse: message({
    header: ['ResponseHeader', 1],
    ID: ['int64', 2],
    TTL: ['int64', 3],
    grantedTTL: ['int64', 4],
  }),
  AuthenticateRequest: message({ name: ['string', 1], password: ['string', 2] }),
  AuthenticateResponse: message({ header: ['ResponseHeader', 1], token: ['string', 2] }),
  KV: {
    methods: {
      Range: call('RangeRequest', 'RangeResponse'),
      DeleteRange: call('DeleteRangeRequest', 'DeleteRangeResponse'),
      Txn: call('TxnRequest', 'TxnResponse'),
    },
  },
  Watch: { methods: { Watch: call('WatchRequest', 'WatchResponse', true) } },
  Lease: {
    methods: {
      LeaseGrant: call('LeaseGrantRequest', 'LeaseGrantResponse'),
      LeaseRevoke: call('LeaseRevokeRequest', 'LeaseRevokeResponse'),
      LeaseTimeToLive: call('LeaseTimeToLiveRequest', 'LeaseTimeToLiveResponse'),
      LeaseKeepAlive: call('LeaseKeepAliveRequest', 'LeaseKeepAliveResponse', true),
    },
  },
  Auth: { methods: { Authenticate: call('AuthenticateRequest', 'AuthenticateResponse') } },
};

type Services = Record<'KV' | 'Watch' | 'Lease' | 'Auth', ServiceClientConstructor>;

/** Client constructors of etcd's services, made from the tables above. */
export function loadServices(): Services {
  const root = { nested: { mvccpb: { nested: MVCC }, etcdserverpb: { nested: SERVER } } };
  const definition = fromJSON(root as Parameters<typeof fromJSON>[0], {
    keepCase: true,
    longs: String,
    enums: String,
    defaults: true,
    arrays: true,
  });
  return loadPackageDefinition(definition).etcdserverpb as unknown as Services;
}
