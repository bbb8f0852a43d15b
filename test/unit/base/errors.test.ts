import t from 'tap';
import { codeOf, describeError, errnoName, hasCode, RipstopError } from '../../../src/base/errors.ts';

t.test('hasCode is true for an error with one of the codes, ours or of a system call', async t => {
  const inUse = new RipstopError('EINUSE', 'taken');
  t.ok(hasCode(inUse, 'EINUSE'));
  t.ok(hasCode(inUse, 'ENOENT', 'EINUSE'));
  t.notOk(hasCode(inUse, 'ENOENT'));
  t.ok(hasCode(Object.assign(new Error('no such file'), { code: 'ENOENT' }), 'ENOENT'));
  for (const thrown of [undefined, null, 'EINUSE', { code: 'EINUSE' }]) t.notOk(hasCode(thrown, 'EINUSE'));
});

t.test('codeOf gives a code of the union, and the fallback for any other', async t => {
  t.equal(codeOf(new RipstopError('ESTORE', 'away'), 'EIO'), 'ESTORE');
  t.equal(codeOf({ code: 'ENOSPC' }, 'EIO'), 'ENOSPC');
  t.equal(codeOf({ code: 'E524' }, 'EIO'), 'E524');
  for (const code of ['ERR_STREAM_DESTROYED', 'toString', 7, undefined])
    t.equal(codeOf({ code }, 'EIO'), 'EIO', `${code}`);
  for (const thrown of [undefined, null, 'text']) t.equal(codeOf(thrown), undefined);
});

t.test('errnoName gives the name of the kernel source, and E<number> for an unlisted errno', async t => {
  t.same([95, 11, 2, 524].map(errnoName), ['EOPNOTSUPP', 'EAGAIN', 'ENOENT', 'E524']);
});

t.test('describeError gives message and hint in one line', async t => {
  t.equal(describeError(new RipstopError('ECONFIG', 'wrong', 'do right')), 'wrong; do right');
  t.equal(describeError(new Error('wrong')), 'wrong');
  t.equal(describeError('wrong'), 'wrong');
});
