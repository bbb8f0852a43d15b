import t from 'tap';
import {
  countOption,
  durationOption,
  linkOption,
  portsOption,
  rateOption,
} from '../../../src/cli/commands/measure/parse.ts';
import { parseSizes, sizesOf } from '../../../src/measure/send/sizes.ts';
import { resolveTarget } from '../../../src/measure/send/target.ts';

t.test('rates', async t => {
  t.same(rateOption('10mbit'), { unit: 'bits', perSecond: 10e6 });
  t.same(rateOption('2.5 Gbit/s'), { unit: 'bits', perSecond: 2.5e9 });
  t.same(rateOption('100kpps'), { unit: 'packets', perSecond: 100e3 });
  t.same(rateOption('500PPS'), { unit: 'packets', perSecond: 500 });
  t.same(rateOption('50%'), { unit: 'percent', percent: 50 });
  t.same(rateOption('max'), { unit: 'packets', perSecond: Number.POSITIVE_INFINITY });
  for (const text of ['', '10', '0mbit', '-1pps', '101%', '0%', '5k%', '1e3pps', 'mbit', '1.2.3mbit'])
    t.throws(() => rateOption(text), /Expected a rate/, text);
  t.equal(linkOption('1gbit'), 1e9);
  for (const text of ['5kpps', '50%', 'max']) t.throws(() => linkOption(text), /bit rate/, text);
});

t.test('times, numbers and ports', async t => {
  t.same(
    ['500ms', '10s', '10', '1.5m', '24h'].map(durationOption),
    [500, 10_000, 10_000, 90_000, 86_400_000],
  );
  for (const text of ['', '0s', '25h', '-1s', '1d', '0.5ms'])
    t.throws(() => durationOption(text), /a time/, text);
  t.same(['7', '10k', '5M'].map(countOption(1e9)), [7, 10_000, 5_000_000]);
  for (const text of ['', '0', '2G', '1.5k']) t.throws(() => countOption(1e9)(text), /a number/, text);
  t.same(portsOption('40000'), [40_000]);
  t.same(portsOption('40000-40002'), [40_000, 40_001, 40_002]);
  for (const text of ['', '0', '5-4', '65536', '1-', 'a']) t.throws(() => portsOption(text), /ports/, text);
});

t.test('sizes', async t => {
  t.same([...(await sizesOf(parseSizes('1500'), 4))], [1500]);
  const imix = [...(await sizesOf(parseSizes('IMIX'), 4))];
  t.same(
    [46, 576, 1500].map(size => imix.filter(one => one === size).length),
    [7, 4, 1],
  );
  t.equal(Math.min(...(await sizesOf(parseSizes('imix'), 6))), 66);
  await t.rejects(sizesOf(parseSizes('50'), 6), { code: 'ECONFIG', message: /50 bytes/ });
  for (const text of ['45', '0', '70000']) t.throws(() => parseSizes(text), { code: 'ECONFIG' }, text);
  await t.rejects(sizesOf(parseSizes('/nowhere.pcap'), 4), { code: 'ECAPTURE' });
});

t.test('targets: one host, with or without a port', async t => {
  t.same(await resolveTarget('192.0.2.7', 5299), { family: 4, address: '192.0.2.7', port: 5299 });
  t.same(await resolveTarget('192.0.2.7:6000', 5299), { family: 4, address: '192.0.2.7', port: 6000 });
  t.same(await resolveTarget('2001:db8::7', 5299), { family: 6, address: '2001:db8::7', port: 5299 });
  t.same(await resolveTarget('[2001:db8::7]:6000', 5299), { family: 6, address: '2001:db8::7', port: 6000 });
  t.same(await resolveTarget('::ffff:192.0.2.7', 5299), { family: 4, address: '192.0.2.7', port: 5299 });
  t.same(await resolveTarget('127.0.0.1', 5299), { family: 4, address: '127.0.0.1', port: 5299 });
  for (const text of ['224.0.0.1', 'ff02::1', '255.255.255.255', '0.0.0.0', '::', '127.255.255.255'])
    await t.rejects(resolveTarget(text, 5299), { code: 'ECONFIG' }, text);
  await t.rejects(resolveTarget('192.0.2.7:0', 5299), { code: 'ECONFIG', message: /port 0/ });
  await t.rejects(resolveTarget('192.0.2.7:99999', 5299), { code: 'ECONFIG' });
});
