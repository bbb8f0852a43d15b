import t from 'tap';
import { checkAddonLayout } from '../../../../src/dataplane/io/check-addon-layout.ts';
import { native } from '../../../../src/native/load.ts';

const { constants } = native;

t.test('the constants of the addon equal those of TypeScript', t => {
  t.doesNotThrow(() => checkAddonLayout());
  t.end();
});

t.test('an addon with another number is refused', t => {
  const other = { ...constants, descriptor: { ...constants.descriptor, PEER: 99 } };
  t.throws(() => checkAddonLayout(other), { code: 'ELAYOUT', message: /descriptor\.PEER = 99/ });
  t.end();
});

t.test('a name that only one side has is refused', t => {
  t.throws(() => checkAddonLayout({ ...constants, tun: { ...constants.tun, NEW_FLAG: 16 } }), {
    code: 'ELAYOUT',
    message: /tun\.NEW_FLAG = 16, the code has undefined/,
  });
  t.throws(() => checkAddonLayout({ ...constants, stat: {} }), { code: 'ELAYOUT', message: /stat\.CALLS/ });
  t.throws(() => checkAddonLayout({ ...constants, added: { ONE: 1 } }), { code: 'ELAYOUT' });
  t.end();
});
