import t from 'tap';
import { checkLastOptions } from '../../../src/cli/commands/recorder/last-drops-options.ts';
import { seconds } from '../../../src/cli/options.ts';

t.test('a time is read with its unit, and a wrong one is refused', async t => {
  for (const [text, value] of [
    ['1', 1],
    ['30s', 30],
    ['5m', 300],
    ['24H', 86_400],
  ] as const)
    t.equal(seconds(text), value, text);
  for (const text of ['', '0s', '-1', '1.5s', '25h', '5 m', 's', '10d'])
    t.throws(() => seconds(text), /Expected a time/, text);
});

t.test('options of drops --last are refused without it', async t => {
  t.doesNotThrow(() => checkLastOptions({}));
  t.doesNotThrow(() => checkLastOptions({ last: 5, write: 'x', device: 'y' }));
  t.throws(() => checkLastOptions({ write: 'x' }), { code: 'ECONFIG', message: '--write without --last' });
  t.throws(() => checkLastOptions({ device: 'y' }), { code: 'ECONFIG', message: '--device without --last' });
});
