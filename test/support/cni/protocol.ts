import { type CniRequest, type CniResponse, field, MAGIC } from '../../../src/cni/shim/protocol.ts';

/** The executable's side of the socket, which in the product is written in C (src/cni/shim/io.c). */
export function encodeRequest({ plugin, stdin, env }: CniRequest): Buffer {
  const variables = Object.entries(env).map(([name, value]) => field(`${name}=${value}`));
  const body = Buffer.concat([field(plugin), field(stdin), ...variables]);
  const header = Buffer.alloc(4);
  header.writeUInt32LE(body.length);
  return Buffer.concat([Buffer.from(MAGIC, 'latin1'), header, body]);
}

/** Reads a whole response. @throws Error when it is cut */
export function parseResponse(bytes: Buffer): CniResponse {
  let at = 1;
  const next = () => {
    if (at + 4 > bytes.length || at + 4 + bytes.readUInt32LE(at) > bytes.length)
      throw new Error('the answer is cut');
    const length = bytes.readUInt32LE(at);
    at += 4 + length;
    return bytes.toString('utf8', at - length, at);
  };
  return { status: bytes[0] ?? 1, stdout: next(), stderr: next() };
}
