import type { AddressInfo } from 'node:net';
import t from 'tap';
import { createListener, targetOf } from '../../../src/api/listener.ts';
import { containedErrors } from '../../../src/base/boundary.ts';

t.test('a handler that fails (H1): answered with 500, counted, and the next request is served', async t => {
  const handlers: Readonly<Record<string, () => unknown>> = {
    '/throws': () => {
      throw new TypeError('Invalid URL');
    },
    '/rejects': async () => {
      throw new TypeError('Invalid URL');
    },
  };
  const server = createListener('a test', (request, response) => {
    const { path } = targetOf(request);
    return handlers[path] ? handlers[path]() : response.end('well\n');
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => server.close());
  const get = async (path: string) => {
    const { port } = server.address() as AddressInfo;
    const response = await fetch(`http://127.0.0.1:${port}${path}`);
    return [response.status, await response.text()];
  };
  for (const path of Object.keys(handlers)) t.same(await get(path), [500, 'internal error\n'], path);
  t.same(await get('//'), [200, 'well\n']);
  t.equal(containedErrors().get('a test'), 2);
});

t.test('targets that are no URL (H1): a path and a query all the same', async t => {
  const of = (url: string) => targetOf({ url } as Parameters<typeof targetOf>[0]);
  t.same(of('//'), { path: '//', query: '' });
  t.same(of('http://['), { path: '/', query: '' });
  t.same(of('http://a:b:c/x?y=%'), { path: '/x', query: 'y=%' });
  t.same(of(''), { path: '/', query: '' });
});
