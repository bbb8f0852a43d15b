import t from 'tap';
import {
  anyValue,
  integer,
  mapOf,
  openObject,
  parseJson,
  readKnown,
  readObject,
  required,
  text,
} from '../../../src/base/schema.ts';

const fields = {
  name: required(text('a name', 'who')),
  sizes: mapOf(integer(0, 9, 'size'), 'by name'),
  inner: openObject({ value: anyValue('any') }, 'nested'),
};

t.test('readKnown ignores keys that it does not know, at every level', async t => {
  const raw = { name: 'a', other: 1, sizes: { x: 1 }, inner: { value: [1], more: 2 } };
  t.strictSame(readKnown(fields, raw, ''), { name: 'a', sizes: { x: 1 }, inner: { value: [1] } });
  t.throws(() => readObject(fields, raw, ''), { code: 'ECONFIG', message: /other: unknown key/ });
});

t.test('a wrong value is named by its path', async t => {
  const wrong: [unknown, RegExp][] = [
    [null, /^it: must be an object/],
    [[], /^it: must be an object/],
    [{}, /^it\.name: is missing/],
    [{ name: 1 }, /^it\.name: 1 is not a name/],
    [{ name: 'a', sizes: { x: 10 } }, /^it\.sizes\.x: 10 is not a whole number/],
    [{ name: 'a', inner: 'x' }, /^it\.inner: must be an object/],
  ];
  for (const [raw, message] of wrong)
    t.throws(() => readKnown(fields, raw, 'it'), { code: 'ECONFIG', message }, JSON.stringify(raw));
  t.throws(() => parseJson('{', 'file'), { code: 'ECONFIG', message: /^file is not JSON/ });
});

t.test('keys of an object that a stranger wrote do not reach a prototype', async t => {
  const raw = parseJson('{"name":"a","sizes":{"__proto__":1},"toString":2}', 'it');
  const { sizes } = readKnown(fields, raw, 'it');
  t.ok(sizes && Object.hasOwn(sizes, '__proto__'));
  t.equal(readKnown({ toString: text('a text', 'x') }, {}, 'it').toString, undefined);
});
