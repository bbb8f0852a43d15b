import t from 'tap';
import { CHECKOUT } from '../../../bench/lab/tool.ts';
import { attempt, must } from '../../../src/lab/command.ts';
import { scratch } from '../../../src/lab/namespace.ts';
import { native } from '../../../src/native/load.ts';

t.test('each number has the name that glibc has for it', async t => {
  const program = `${scratch()}/errno-names`;
  const sources = ['test/fixtures/c/errno-names.cc', 'src/native/errno-name.cc'].map(file => CHECKOUT + file);
  must(['g++', '-std=c++17', '-Wall', '-Wextra', '-Werror', '-o', program, ...sources]);
  t.same(attempt([program]), { code: 0, stdout: '', stderr: '' });
});

t.test('a call that the kernel refuses throws with the name', async t => {
  t.throws(() => native.netlinkOpen('/nowhere', 0, 0), {
    code: 'ENOENT',
    errno: 2,
    syscall: /^open/,
    message: /^ENOENT: open/,
  });
});
