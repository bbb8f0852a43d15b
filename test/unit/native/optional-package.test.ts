import t from 'tap';
import { loadTuntap2 } from '../../../src/dataplane/io/tuntap2.ts';
import { loadOptionalPackage } from '../../../src/native/optional-package.ts';

const failing = (message: string, code: string) => () => {
  throw Object.assign(new Error(message), { code });
};
const absent = (name: string) =>
  failing(`Cannot find module '${name}'\nRequire stack:\n- /x.js`, 'MODULE_NOT_FOUND')();

t.test('an optional package that is there, absent, or does not load', async t => {
  t.same(
    loadOptionalPackage('x', name => ({ name })),
    { loaded: { name: 'x' } },
  );
  t.match(loadOptionalPackage('ripstop-has-no-such-package'), {
    missing: {
      isAbsent: true,
      reason:
        /^the package ripstop-has-no-such-package is not installed: run `npm install ripstop-has-no-such-package` in the folder /,
    },
  });
  const inside = failing("Cannot find module './build/x.node'\nRequire stack:\n- x", 'MODULE_NOT_FOUND');
  for (const [load, said] of [
    [inside, 'build/x.node'],
    [failing('wrong ELF class', 'ERR_DLOPEN_FAILED'), 'wrong ELF class'],
  ] as const) {
    const reason = new RegExp(
      `^the package x is installed and does not load with Node .*${said}.*npm rebuild x`,
    );
    t.match(loadOptionalPackage('x', load), { missing: { isAbsent: false, reason } });
  }
});

t.test('the driver tuntap2 without its package', async t => {
  t.throws(() => loadTuntap2(absent), {
    code: 'ECONFIG',
    message:
      /^driver tuntap2 cannot be used: the package @xiaobaidadada\/node-tuntap2-wintun is not installed: run `npm install @xiaobaidadada\/node-tuntap2-wintun` in the folder whose node_modules holds ripstop/,
    hint: 'the driver native needs no package',
  });
  t.throws(() => loadTuntap2(failing('wrong ELF class', 'ERR_DLOPEN_FAILED')), {
    message: /does not load with Node .*npm rebuild @xiaobaidadada/,
  });
});
