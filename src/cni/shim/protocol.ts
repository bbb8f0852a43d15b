/*
 * What passes between the executable in /opt/cni/bin and the agent, one call per connection:
 *
 *   request   "RSCNI1\n", field( field(plugin) field(standard input) field("NAME=value") ... )
 *   response  u8 exit status, field(standard output), field(standard error)
 *   field     u32 little-endian length, bytes
 */

export const MAGIC = 'RSCNI1\n';
/** Largest accepted request, bytes. */
export const REQUEST_MAX = 32 << 20;
const HEADER = MAGIC.length + 4;

export interface CniRequest {
  plugin: string;
  stdin: string;
  env: Record<string, string>;
}

export interface CniResponse {
  status: number;
  stdout: string;
  stderr: string;
}

/** One field of a request or a response. */
export function field(text: string): Buffer {
  const bytes = Buffer.from(text);
  const header = Buffer.alloc(4);
  header.writeUInt32LE(bytes.length);
  return Buffer.concat([header, bytes]);
}

/** Length of the request that starts with `bytes`, or undefined while the header is incomplete. @throws Error for other data */
export function requestLength(bytes: Buffer): number | undefined {
  const seen = Math.min(bytes.length, MAGIC.length);
  if (bytes.toString('latin1', 0, seen) !== MAGIC.slice(0, seen)) throw new Error('not a CNI request');
  if (bytes.length < HEADER) return undefined;
  const length = bytes.readUInt32LE(MAGIC.length);
  if (length > REQUEST_MAX) throw new Error(`a CNI request of ${length} bytes is too large`);
  return HEADER + length;
}

/** Reads a whole request. @throws Error when a field leads out of it */
export function parseRequest(bytes: Buffer): CniRequest {
  const fields: string[] = [];
  for (let at = HEADER; at < bytes.length; ) {
    if (at + 4 > bytes.length) throw new Error('a field of the CNI request is cut');
    const length = bytes.readUInt32LE(at);
    at += 4;
    if (at + length > bytes.length) throw new Error('a field of the CNI request is cut');
    fields.push(bytes.toString('utf8', at, at + length));
    at += length;
  }
  const [plugin, stdin, ...variables] = fields;
  if (plugin === undefined || stdin === undefined) throw new Error('the CNI request has too few fields');
  const env: Record<string, string> = {};
  for (const one of variables) {
    const split = one.indexOf('=');
    if (split > 0) env[one.slice(0, split)] = one.slice(split + 1);
  }
  return { plugin, stdin, env };
}

export function encodeResponse({ status, stdout, stderr }: CniResponse): Buffer {
  return Buffer.concat([Buffer.from([status]), field(stdout), field(stderr)]);
}
