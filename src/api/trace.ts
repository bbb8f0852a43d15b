import type { IncomingMessage, ServerResponse } from 'node:http';
import { RipstopError } from '../base/errors.ts';
import {
  type Field,
  fail,
  flag,
  integer,
  objectOf,
  oneOf,
  readObject,
  required,
  text,
} from '../base/schema.ts';
import type { TraceRequest } from '../diagnose/trace/answer.ts';
import { type LiveNode, traceHere } from '../diagnose/trace/live.ts';
import { formatAddress, parseAddress } from '../ip/address.ts';
import { readJson, sendError, sendJson } from './listener.ts';

/** A packet of 64 KiB in base64, and the other keys. */
const BODY_MAX = 100_000;
/** What the length field of UDP leaves for the payload, bytes. */
const PAYLOAD_MAX = 65535 - 8;

const requestFields = {
  source: required(address('where the packet comes from')),
  destination: required(address('where it goes')),
  protocol: required(oneOf(['tcp', 'udp', 'icmp'], 'its protocol')),
  sourcePort: required(integer(0, 65535, 'TCP or UDP port')),
  destinationPort: required(integer(0, 65535, 'TCP or UDP port')),
  size: required(integer(1, 65535, 'bytes of the IP packet', 'bytes')),
  arrival: objectOf(
    {
      from: required(address('underlay address of the peer')),
      to: required(address('underlay address of this node')),
      payload: payload('UDP payload; left out: the bare packet'),
      port: integer(0, 65535, 'UDP port of this node; left out: not compared'),
      groupPolicy: flag('the sender adds packet marks (GBP)'),
    },
    'as it comes from another node',
  ),
};

function address(doc: string): Field<string> {
  const type = 'an IP address';
  return {
    ...{ type, doc },
    read(raw, where) {
      const parsed = typeof raw === 'string' ? parseAddress(raw) : undefined;
      if (!parsed) fail(where, `${JSON.stringify(raw)} is not ${type}`);
      return formatAddress(parsed);
    },
  };
}

function payload(doc: string): Field<string> {
  const base64 = text('base64', doc, /^[A-Za-z0-9+/=]*$/);
  return {
    ...base64,
    read(raw, where) {
      const written = base64.read(raw, where);
      const bytes = Buffer.byteLength(written, 'base64');
      if (bytes > PAYLOAD_MAX) fail(where, `${bytes} bytes`, `a UDP payload has at most ${PAYLOAD_MAX}`);
      return written;
    },
  };
}

/** Answers POST /trace: a `TraceRequest` in, a `TraceAnswer` out. @param node undefined while the agent has no session */
export async function answerTrace(
  incoming: IncomingMessage,
  response: ServerResponse,
  node: LiveNode | undefined,
): Promise<void> {
  try {
    const request = readRequest(await readJson(incoming, BODY_MAX));
    if (!node)
      throw new RipstopError('EAGENT', 'the agent holds no lease yet', '`ripstop status` shows the reason');
    sendJson(response, 200, await traceHere(node, request));
  } catch (error) {
    sendError(response, error);
  }
}

function readRequest(value: unknown): TraceRequest {
  const { arrival, ...packet } = readObject(requestFields, value, '');
  if (packet.source.includes(':') !== packet.destination.includes(':'))
    throw new RipstopError(
      'ECONFIG',
      `${packet.source} and ${packet.destination} are of different families`,
      'a packet has addresses of one',
    );
  if (!arrival) return packet;
  const { payload = null, port = null, groupPolicy = false } = arrival;
  return { ...packet, arrival: { from: arrival.from, to: arrival.to, payload, port, groupPolicy } };
}
