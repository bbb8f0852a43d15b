import { setTimeout as sleep } from 'node:timers/promises';
import { addressBytes } from '../../../ip/address.ts';
import { addressText } from '../../../net/address-bytes.ts';
import { CniError, CODE } from '../../skel/errors.ts';
import {
  ACK,
  type DhcpMessage,
  DISCOVER,
  decodeMessage,
  encodeMessage,
  NAK,
  OFFER,
  OPTION,
  type Options,
  RELEASE,
  REQUEST,
} from './message.ts';

/** Sends and receives packets on the pod's interface. */
export interface DhcpTransport {
  send(mac: Uint8Array, packet: Uint8Array): void;
  receive(): Uint8Array | undefined;
}

/** Who asks, and for what. */
export interface Client {
  mac: Uint8Array;
  /** Text of option 61. */
  id: string;
  provide: readonly { code: number; hex: string }[];
  request: readonly number[];
  /** The answers are to come by broadcast. */
  broadcast?: boolean;
}

export interface Grant {
  address: string;
  server: string;
  options: Options;
}

const BROADCAST_MAC = Uint8Array.of(255, 255, 255, 255, 255, 255);
const ANY = '0.0.0.0';
const EVERYBODY = '255.255.255.255';
/** First wait before a message is repeated, ms; doubled each time, with up to a second at random (RFC 2131 section 4.1). */
const FIRST_WAIT_MS = 2000;
const POLL_MS = 10;

/** Longest client identifier, bytes, its type included. */
const CLIENT_ID_MAX = 254;

export function clientIdOf(containerId: string, network: string, ifname: string): string {
  return `${containerId}/${network}/${ifname}`.slice(0, CLIENT_ID_MAX - 1);
}

function message(
  { mac, id, provide, request, broadcast = false }: Client,
  type: number,
  xid: number,
  more: [number, Uint8Array][],
  clientIp = ANY,
): DhcpMessage {
  // A client identifier of the network's configuration replaces ours.
  const options = new Map<number, Uint8Array>([
    [OPTION.CLIENT_ID, Buffer.from(`\0${id}`)],
    ...provide.map(({ code, hex }): [number, Uint8Array] => [code, Buffer.from(hex, 'hex')]),
  ]);
  if (request.length > 0) options.set(OPTION.PARAMETERS, Uint8Array.from(request));
  for (const [code, value] of more) options.set(code, value);
  return { type, xid, seconds: 0, broadcast, clientIp, yourIp: ANY, mac, options };
}

const newXid = () => Math.floor(Math.random() * 0x100000000);

function isFor(client: Client, xid: number, reply: DhcpMessage): boolean {
  return reply.xid === xid && reply.mac.every((byte, i) => byte === client.mac[i]);
}

/** The next reply of one of these types within `ms`, or undefined. */
async function waitForReply(
  transport: DhcpTransport,
  client: Client,
  xid: number,
  types: number[],
  ms: number,
  signal?: AbortSignal,
) {
  for (let waited = 0; waited <= ms; waited += POLL_MS) {
    signal?.throwIfAborted();
    for (let packet = transport.receive(); packet; packet = transport.receive()) {
      const reply = decodeMessage(packet);
      if (reply && isFor(client, xid, reply) && types.includes(reply.type)) return reply;
    }
    await sleep(POLL_MS);
  }
  return undefined;
}

function grantOf(reply: DhcpMessage): Grant {
  const server = reply.options.get(OPTION.SERVER);
  return {
    address: reply.yourIp,
    server: server?.length === 4 ? addressText(server) : ANY,
    options: reply.options,
  };
}

/** Longest waits, ms. */
export interface SearchLimits {
  /** For the answer to one message. */
  requestMs: number;
  /** Before a message is sent again, at most. */
  longestDelayMs: number;
  /** For an address. */
  wholeMs: number;
}

/**
 * Asks for an address: DISCOVER, OFFER, REQUEST, ACK, again with growing waits until the time is over. A repeated DISCOVER keeps
 * its transaction, so that a server may take longer to answer than one wait: many look whether the address is in use.
 * @param signal ends the waiting
 * @throws CniError 11 when no server gives an address in time
 */
export async function acquire(
  transport: DhcpTransport,
  client: Client,
  { requestMs, longestDelayMs, wholeMs }: SearchLimits,
  now: () => number,
  signal?: AbortSignal,
): Promise<Grant> {
  const end = now() + wholeMs;
  let xid = newXid();
  for (let wait = Math.min(FIRST_WAIT_MS, longestDelayMs); ; wait = Math.min(wait * 2, longestDelayMs)) {
    const left = end - now();
    if (left <= 0) break;
    const waitMs = Math.min(left, requestMs, wait + Math.random() * 1000);
    transport.send(BROADCAST_MAC, encodeMessage(message(client, DISCOVER, xid, []), ANY, EVERYBODY));
    const offer = await waitForReply(transport, client, xid, [OFFER], waitMs, signal);
    if (!offer) continue;
    const { address, server } = grantOf(offer);
    const wanted: [number, Uint8Array][] = [
      [OPTION.REQUESTED_IP, addressBytes(address)],
      [OPTION.SERVER, addressBytes(server)],
    ];
    transport.send(BROADCAST_MAC, encodeMessage(message(client, REQUEST, xid, wanted), ANY, EVERYBODY));
    const reply = await waitForReply(
      transport,
      client,
      xid,
      [ACK, NAK],
      Math.min(end - now(), requestMs),
      signal,
    );
    if (reply?.type === ACK) return grantOf(reply);
    if (reply) await sleep(Math.min(1000, Math.max(0, end - now())));
    xid = newXid();
  }
  throw new CniError(
    CODE.TRY_AGAIN_LATER,
    'error calling DHCP.Allocate: no more tries',
    `no DHCP server has given an address within ${wholeMs} ms`,
  );
}

/**
 * Asks to keep an address: the server that gave it while `server` is named, any server otherwise.
 * @returns the new terms; undefined without an answer; 'refused' when the address must not be used any more
 */
export async function extend(
  transport: DhcpTransport,
  client: Client,
  address: string,
  server: { ip: string; mac: Uint8Array | undefined } | undefined,
  waitMs: number,
): Promise<Grant | 'refused' | undefined> {
  const xid = newXid();
  const request = message(client, REQUEST, xid, [], address);
  transport.send(server?.mac ?? BROADCAST_MAC, encodeMessage(request, address, server?.ip ?? EVERYBODY));
  const reply = await waitForReply(transport, client, xid, [ACK, NAK], waitMs);
  if (!reply) return undefined;
  return reply.type === ACK ? grantOf(reply) : 'refused';
}

/** Releases an address. The server does not acknowledge it. */
export function release(
  transport: DhcpTransport,
  client: Client,
  address: string,
  server: { ip: string; mac: Uint8Array | undefined },
): void {
  const request = message(client, RELEASE, newXid(), [[OPTION.SERVER, addressBytes(server.ip)]], address);
  transport.send(server.mac ?? BROADCAST_MAC, encodeMessage(request, address, server.ip));
}
