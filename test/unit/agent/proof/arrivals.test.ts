import t from 'tap';
import { ArrivalBook } from '../../../../src/agent/proof/arrivals.ts';

const NOTHING = { train: 0n, alone: 0n };

t.test('answers have what arrived, by peer and attempt', async t => {
  const book = new ArrivalBook();
  for (const place of [0, 2, 2, 63]) book.note('a', 'n1', 'train', place);
  book.note('a', 'n1', 'alone', 1);
  book.note('b', 'n1', 'train', 5);
  t.same(book.answer('a', 'n1', 0), { train: (1n << 63n) | 5n, alone: 2n });
  t.same(book.answer('b', 'n1', 0), { train: 32n, alone: 0n });
  t.same(book.answer('a', 'n2', 0), NOTHING, 'of an attempt that did not arrive at all');
  t.same(book.answer('c', 'n1', 0), NOTHING);
});

t.test('memory and answers per peer are bounded', async t => {
  const book = new ArrivalBook();
  for (let attempt = 0; attempt < 100; attempt++) book.note('a', `n${attempt}`, 'train', 0);
  t.same(book.answer('a', 'n95', 0), NOTHING, 'the oldest attempts are forgotten');
  t.same(book.answer('a', 'n99', 0), { train: 1n, alone: 0n });
  const answers = Array.from({ length: 100 }, (_, question) => book.answer('b', 'n', 1000 + question));
  t.equal(answers.filter(Boolean).length, 10, 'ten answers per second');
  t.ok(book.answer('a', 'n99', 1100), 'others are answered');
  t.ok(book.answer('b', 'n', 2000), 'and the same peer in the next second');
  book.keep(id => id === 'b');
  t.same(book.answer('a', 'n99', 5000), NOTHING, 'a peer that is gone is forgotten');
});
