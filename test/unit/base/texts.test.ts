import t from 'tap';
import { LogBudget } from '../../../src/base/logging/budget.ts';
import { logText } from '../../../src/base/logging/stream.ts';
import { integer, readObject } from '../../../src/base/schema.ts';
import { suggest } from '../../../src/base/suggest.ts';
import { printable, printableJson, printableValue } from '../../../src/base/text/printable.ts';
import { shorten } from '../../../src/base/text/shorten.ts';

t.test('a key of a megabyte (H25): not compared with the known ones, and cut in the error', async t => {
  const key = 'network'.repeat(150_000);
  t.equal(suggest(key, ['Network']), undefined);
  const long = 'network'.repeat(10);
  t.equal(suggest(`${long}s`, [long]), undefined, 'however similar it is');
  t.equal(suggest('Netwrok', ['Network']), 'Network');
  const read = () => readObject({ Network: integer(0, 9, '') }, { [key]: 1 }, 'net-conf.json');
  t.throws(read, { code: 'ECONFIG', message: /^net-conf\.json\.network.{1,400}unknown key$/ });
  const value = { toJSON: () => 'x'.repeat(1_000_000) };
  t.throws(() => readObject({ Network: integer(0, 9, '') }, { Network: value }, ''), {
    message: /^.{1,700}$/s,
  });
  t.equal(shorten('abcdef', 3), 'abc… (6 characters)');
  t.equal(shorten('abc', 3), 'abc');
});

t.test(
  'control characters of a lease (H17): escaped in text, logs and JSON, which keeps the value',
  async t => {
    const evil = 'vxlan\u001b]0;x\u0007\u001b[31m\u009b2J\r\n\u202etxt';
    t.equal(printable(evil), 'vxlan\\u001b]0;x\\u0007\\u001b[31m\\u009b2J\\u000d\\u000a\\u202etxt');
    t.equal(printable('Straße, 日本, 🙂'), 'Straße, 日本, 🙂');
    t.same(printableValue({ a: [evil, 1, null], [evil]: true }), {
      a: [printable(evil), 1, null],
      [printable(evil)]: true,
    });
    const json = printableJson(JSON.stringify({ a: evil }));
    t.notMatch(json, /[\p{Cc}\u202e]/u);
    t.same(JSON.parse(json), { a: evil });
    t.notMatch(logText(JSON.stringify({ level: 'warn', time: 'T', msg: evil })).trimEnd(), /[\p{Cc}\u202e]/u);
  },
);

t.test('messages beyond the budget (H6): counted, and the count printed in the next minute', async t => {
  let now = 0;
  const rest: number[] = [];
  const budget = new LogBudget(
    2,
    count => rest.push(count),
    () => now,
  );
  const taken = (times: number) => Array.from({ length: times }, () => budget.take()).filter(Boolean).length;
  t.equal(taken(5), 2);
  t.same(rest, []);
  now = 60_000;
  t.equal(taken(1), 1);
  t.same(rest, [3]);
  now = 120_000;
  t.equal(taken(2), 2);
  t.same(rest, [3], 'nothing was left out');
});
