import t from 'tap';
import { text } from '../../../src/base/schema.ts';
import { readIgnoringUnknown } from '../../../src/cni/config/ignore-unknown.ts';
import { parseConfiguration, repeatedKeys, withNames } from '../../../src/cni/config/keys.ts';
import { loadPlugin } from '../../../src/cni/plugins.ts';
import type { Plugin } from '../../../src/cni/skel/plugin.ts';
import { attachment, invoke } from './fixtures/harness.ts';

/** What Go's encoding/json makes of a text, for a struct with these names. */
const read = (source: string, names: string[]) =>
  withNames(names, parseConfiguration(source, 'x') as Record<string, unknown>);

t.test('of keys that differ in case or not at all the last one counts', t => {
  t.strictSame(read('{"mtu":1,"MTU":2}', ['mtu']), { mtu: 2 });
  t.strictSame(read('{"MTU":1,"mtu":2}', ['mtu']), { mtu: 2 });
  t.strictSame(read('{"mtu":1,"MTU":2,"mtu":3}', ['mtu']), { mtu: 3 }, 'in the order of the text');
  t.strictSame(read('{"Mtu":1,"other":2}', ['mtu']), { mtu: 1, other: 2 });
  t.strictSame(read('{"macſpoofchK":1}', ['macspoofchk']), { macspoofchk: 1 }, 'as Unicode folds case');
  t.strictSame(read('{"addreßes":1}', ['addresses']), { addreßes: 1 });
  t.end();
});

t.test('an object that is given twice has the keys of both', t => {
  t.strictSame(read('{"a":{"x":1,"y":1},"A":{"y":2,"z":2}}', ['a']), { a: { x: 1, y: 2, z: 2 } });
  t.strictSame(read('{"a":{"x":1},"a":{"z":2}}', []), { a: { x: 1, z: 2 } });
  t.strictSame(read('{"a":{"x":1},"a":[1]}', []), { a: [1] });
  t.strictSame(read('{"a":[1,2],"a":[3]}', []), { a: [3] });
  t.end();
});

t.test('a key that is given twice is known', t => {
  const keys = (source: string) => repeatedKeys((parseConfiguration(source, 'x') as { s: object }).s);
  t.strictSame(keys('{"s":{"a":"1","b":"2","a":"3"}}'), ['a']);
  t.strictSame(keys('{"s":{"a":"1"},"s":{"a":"1"}}'), ['a'], 'in two parts of one object');
  t.strictSame(keys('{"s":{"a":"1","A":"1"}}'), []);
  t.end();
});

t.test('texts that look like keys, escapes and names of objects stay what they are', t => {
  for (const source of [
    '{"a":"b\\":\\\\","c:d":[":",{"e" \n:"f"}],"":null,"1":1,"é\\u00e9\\"":true}',
    '["a",":"]',
    '"a:b"',
    '{}',
    '-1.5e3',
  ]) {
    t.strictSame(parseConfiguration(source, 'x'), JSON.parse(source), source);
  }
  const odd = parseConfiguration('{"__proto__":{"a":1},"toString":2}', 'x') as object;
  t.strictSame(Object.keys(odd), ['__proto__', 'toString']);
  t.equal(Object.getPrototypeOf(odd), Object.prototype);
  t.throws(() => parseConfiguration('{"a":', 'x'), { code: 'ECONFIG', message: /^x is not JSON: / });
  t.end();
});

t.test('names that differ in case are different keys, and others belong to the first of them', t => {
  const names = ['address', 'Address'];
  t.strictSame(read('{"address":1,"Address":2}', names), { address: 1, Address: 2 });
  t.strictSame(read('{"Address":2,"ADDRESS":1}', names), { Address: 2, address: 1 });
  t.end();
});

t.test('nested keys and the keys in lists match in any case', t => {
  const fields = { type: text('a text', 'x') };
  t.match(readIgnoringUnknown(fields, { TYPE: 'a' }, ''), { type: 'a' });
  t.match(readIgnoringUnknown(fields, { type: 'a', TYPE: 'b' }, ''), { type: 'b' });
  t.end();
});

t.test('plugins read keys of every level in any case', async t => {
  const statics = (await loadPlugin('static')) as Plugin;
  const of = (config: object) => invoke(statics, attachment('ADD'), { CNIVersion: '1.0.0', ...config });
  const ipam = { Type: 'static', Addresses: [{ ADDRESS: '10.1.0.2/24', GATEWAY: '10.1.0.1' }] };
  const expected = [{ address: '10.1.0.2/24', gateway: '10.1.0.1' }];
  t.match((await of({ Name: 'n', IPAM: ipam })).json, { cniVersion: '1.0.0', ips: expected });
  t.match((await of({ name: 'n', ipam: { type: 'static' }, IPAM: ipam })).json, { ips: expected });
  t.match((await of({ name: 'n', ipam, RuntimeConfig: { IPs: ['10.1.0.3/24'] } })).json, {
    ips: [{ address: '10.1.0.3/24' }],
  });
  t.match((await of({ name: 'n', ipam, Args: { CNI: { IPs: ['10.1.0.4/24'] } } })).json, {
    ips: [{ address: '10.1.0.4/24' }],
  });
  t.match((await of({ NAME: '..', ipam })).json, { code: 7, msg: /network name/ });
  t.match((await invoke(statics, attachment('ADD'), { CNIVERSION: '9.9.9', name: 'n' })).json, { code: 1 });
});

t.test('a previous result is found in any case', async t => {
  const statics = (await loadPlugin('static')) as Plugin;
  const ipam = { type: 'static', addresses: [{ address: '10.1.0.2/24' }] };
  const check = (address: string) =>
    invoke(statics, attachment('CHECK', { CNI_NETNS: '/proc/self/ns/net' }), {
      cniVersion: '1.0.0',
      name: 'n',
      ipam,
      PREVRESULT: { CNIVersion: '1.0.0', IPs: [{ Address: address }], DNS: {} },
    });
  t.equal((await check('10.1.0.2/24')).status, 0);
  t.match((await check('10.1.0.3/24')).json, { code: 999, msg: /10\.1\.0\.2/ });
});
