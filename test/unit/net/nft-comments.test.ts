import t from 'tap';
import { readElements, readRule } from '../../../src/net/nft/comments.ts';
import { netfilterRequest, splitMessages } from '../../../src/net/rtnetlink/message.ts';

const CHAIN = 2;
const HANDLE = 3;
const USERDATA = 7;
const USERDATA_OF_ELEMENT = 6;
const COMMENT = 0;

/** A rule as the kernel reports it, with this user data. */
function rule(userData: Uint8Array | undefined) {
  const writer = netfilterRequest(0xa06, 1, 'rule').attributeText(CHAIN, 'c');
  writer.attribute(HANDLE, Uint8Array.of(0, 0, 0, 0, 0, 0, 1, 2));
  if (userData) writer.attribute(USERDATA, userData);
  return readRule(splitMessages(writer.finish(1))[0]!);
}

const entry = (type: number, text: string) => [type, Buffer.byteLength(text), ...Buffer.from(text)];
const named = (comment: string) => [{ chain: 'c', handle: 258, comment }];

t.test('the comment of a rule is read from its user data', async t => {
  t.strictSame(rule(Uint8Array.from(entry(COMMENT, 'net é\0'))), named('net é'));
  t.strictSame(rule(Uint8Array.from([...entry(9, 'other'), ...entry(COMMENT, 'x')])), named('x'));
});

t.test('user data without a comment, or cut, gives none', async t => {
  t.strictSame(rule(undefined), []);
  t.strictSame(rule(Uint8Array.from(entry(9, 'x'))), []);
  t.strictSame(rule(Uint8Array.of(COMMENT)), []);
  t.strictSame(rule(Uint8Array.from(entry(COMMENT, 'cut')).subarray(0, 4)), []);
});

t.test('elements with a comment are read with key and value; those without one are not', t => {
  const writer = netfilterRequest(0xa0c, 1, 'elements').nested(3, list => {
    for (const [port, userData] of [
      [80, entry(COMMENT, 'x\0')],
      [81, entry(9, 'y')],
    ] as const)
      list.nested(1, element => {
        element.nested(1, key => key.attribute(1, Uint8Array.of(6, 0, 0, 0, 0, port, 0, 0)));
        element.nested(2, value => value.attribute(1, Uint8Array.of(10, 1, 0, 2)));
        element.attribute(USERDATA_OF_ELEMENT, Uint8Array.from(userData));
      });
  });
  const [element, ...others] = readElements(splitMessages(writer.finish(1))[0]!);
  t.strictSame(others, []);
  t.equal(element?.comment, 'x');
  t.strictSame([...element!.key], [6, 0, 0, 0, 0, 80, 0, 0]);
  t.strictSame([...element!.value!], [10, 1, 0, 2]);
  t.end();
});
