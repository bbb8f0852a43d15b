import { encodeRequest } from '../cni/protocol.ts';
import type { Random } from '../random.ts';

const LINE = '\r\n';
const request = (line: string, ...headers: string[]): string =>
  [line, 'Host: localhost', ...headers, '', ''].join(LINE);

/** Targets that ended servers, or are at the edge of RFC 9112. */
const TARGETS = [
  '//',
  '///..//',
  '/%',
  '/%00%ff',
  '/?since=%',
  '/?a=b?c#d',
  '*',
  'http://[',
  'http://[::1',
  'http://localhost:99999/healthz',
  'http:///healthz',
  'HTTP://x/healthz?y',
  '/__proto__',
  '/constructor',
  '/healthz/../metrics',
  '/status/',
  '/flows?sort=__proto__&limit=-1',
  '/flows?limit=999999999999',
  '/flows/log',
  '/api/view?since=nan',
  '/api/capture',
  `/${'a'.repeat(15_000)}`,
  `/${'a'.repeat(70_000)}`,
];

const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'OPTIONS', 'CONNECT', 'TRACE', 'PRI', 'get', ''];

const BODIES = [
  '{',
  'null',
  '[]',
  '0',
  '"x"',
  '{"snapLength":0}',
  '{"snapLength":-1,"points":["nope"]}',
  '{"snapLength":1e99,"peer":{},"device":[]}',
  '{"__proto__":{"snapLength":1}}',
  '{"source":"10.244.1.2","destination":"fd00::1","protocol":"tcp"}',
  '{"source":"10.244.1.2","destination":"10.244.2.2","protocol":"udp","sourcePort":1,"destinationPort":2,"size":65535}',
  '['.repeat(16_000),
  'x'.repeat(200_000),
];

const POSTS = ['/capture', '/trace', '/api/capture', '/healthz'];

/** Handwritten requests; each is what one connection sends. */
export function handmadeRequests(): string[] {
  const withBody = POSTS.flatMap(path =>
    BODIES.map(body => `${request(`POST ${path} HTTP/1.1`, `Content-Length: ${body.length}`)}${body}`),
  );
  return [
    ...TARGETS.map(target => request(`GET ${target} HTTP/1.1`)),
    ...METHODS.map(method => request(`${method} /status HTTP/1.1`)),
    ...withBody,
    'GET / HTTP/1.1\r\n\r\n',
    'GET /\r\n\r\n',
    'GET / HTTP/9.9\r\n\r\n',
    '\r\n\r\n\r\n',
    '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03',
    'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
    request('GET / HTTP/1.1', `X: ${'y'.repeat(100_000)}`),
    request('GET / HTTP/1.1', ...Array.from({ length: 3000 }, (_, at) => `H${at}: v`)),
    request('GET /healthz HTTP/1.1', 'Upgrade: websocket', 'Connection: Upgrade'),
    request('GET /healthz HTTP/1.1', 'Expect: 100-continue'),
    request('GET /healthz HTTP/1.1', 'Expect: everything'),
    request('CONNECT localhost:22 HTTP/1.1'),
    request('POST /capture HTTP/1.1', 'Content-Length: 10', 'Transfer-Encoding: chunked'),
    request('POST /capture HTTP/1.1', 'Content-Length: 999999'),
    request('POST /capture HTTP/1.1', 'Content-Length: -1'),
    `${request('POST /trace HTTP/1.1', 'Transfer-Encoding: chunked')}ffffffffffffffff\r\nx`,
    `${request('POST /trace HTTP/1.1', 'Transfer-Encoding: chunked')}4\r\n{"a"\r\nzz\r\n`,
    request('GET /api/view HTTP/1.1', `Authorization: Bearer ${'z'.repeat(9000)}`),
    'GET /healthz HTTP/1.1\r\nHost: [\r\n\r\n',
    'GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: other\r\n\r\n',
    request('GET /healthz HTTP/1.1').repeat(200),
  ];
}

const CALL = encodeRequest({
  plugin: 'ripstop',
  stdin: '{"cniVersion":"1.1.0","name":"n","type":"ripstop"}',
  env: { CNI_COMMAND: 'VERSION' },
});

/** Handwritten requests for the socket of the CNI executables; none of them wires anything. */
export function handmadeCalls(): Buffer[] {
  const call = (plugin: string, stdin: string, env: Record<string, string>): Buffer =>
    encodeRequest({ plugin, stdin, env });
  return [
    CALL,
    Buffer.from('RSCNI1\n'),
    Buffer.from('RSCNI1\n\xff\xff\xff\xff', 'latin1'),
    Buffer.from('RSCNI1\n\x00\x00\x00\x00', 'latin1'),
    Buffer.from('RSCNI1\n\x04\x00\x00\x00\xff\xff\xff\xff', 'latin1'),
    Buffer.from('GET / HTTP/1.1\r\n\r\n'),
    call('unknown', '{}', { CNI_COMMAND: 'ADD' }),
    call('../../x', '{}', { CNI_COMMAND: 'VERSION' }),
    call('__proto__', '{}', { CNI_COMMAND: 'VERSION' }),
    call('ripstop', '', { CNI_COMMAND: 'STATUS' }),
    call('bridge', '['.repeat(10_000), { CNI_COMMAND: 'STATUS' }),
    call('bridge', '{"cniVersion":{},"name":[],"ipam":null}', { CNI_COMMAND: 'STATUS' }),
    call('host-local', '{"cniVersion":"9.9.9","__proto__":{}}', { CNI_COMMAND: 'VERSION' }),
    call('ripstop', '{}', { CNI_COMMAND: 'NONSENSE', TRACEPARENT: '\0' }),
  ];
}

/** `bytes` with some of them changed, removed, repeated or cut off. */
export function mangled(random: Random, bytes: Uint8Array): Buffer {
  let out = Buffer.from(bytes);
  for (let change = random.between(1, 6); change > 0; change--) {
    const at = random.between(0, Math.max(0, out.length - 1));
    const end = Math.min(out.length, at + random.between(1, 40));
    switch (random.between(0, 4)) {
      case 0:
        if (out.length > 0) out[at] = random.between(0, 255);
        break;
      case 1:
        out = Buffer.concat([out.subarray(0, at), out.subarray(end)]);
        break;
      case 2:
        out = Buffer.concat([out.subarray(0, end), out.subarray(at)]);
        break;
      case 3:
        out = Buffer.concat([out.subarray(0, at), random.bytes(random.between(1, 64)), out.subarray(at)]);
        break;
      default:
        out = out.subarray(0, at);
    }
  }
  return out;
}
