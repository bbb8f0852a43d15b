import t from 'tap';
import {
  formatBitRate,
  formatBytes,
  formatCompact,
  formatDuration,
  formatLatency,
  formatRate,
  formatShare,
} from '../../../src/base/text/quantity.ts';

t.test('numbers have at most three digits and one prefix', async t => {
  t.strictSame(
    [0, 7, 999, 999.6, 1234, 99_960, 123_456, 1.5e9].map(value => formatCompact(value)),
    ['0', '7', '999', '1.00k', '1.23k', '100k', '123k', '1.50G'],
  );
  t.equal(formatCompact(1 << 20, 1024), '1.00M');
  t.equal(formatCompact(1e21), '1000000P', 'nothing is above the last prefix');
  t.strictSame([0, 999, 1000, 1536, 10 ** 7, 5e12].map(formatBytes), [
    '0 B',
    '999 B',
    '0.98 KiB',
    '1.50 KiB',
    '9.54 MiB',
    '4.55 TiB',
  ]);
  t.strictSame([0, 999, 1234, 12_345_678, 999_600_000].map(formatBitRate), [
    '0 bit/s',
    '999 bit/s',
    '1.23 kbit/s',
    '12.3 Mbit/s',
    '1.00 Gbit/s',
  ]);
  t.strictSame([0, 0.5, 12, 3100].map(formatRate), ['0/s', '0.50/s', '12/s', '3.10k/s']);
});

t.test('a share is 0 % and 100 % only when it is exactly that', async t => {
  t.strictSame([0, 0.0004, 0.003, 0.0952, 0.12, 0.9996, 1].map(formatShare), [
    '0 %',
    '0.04 %',
    '0.3 %',
    '9.5 %',
    '12 %',
    '99 %',
    '100 %',
  ]);
});

t.test('latencies and durations', async t => {
  t.strictSame([0, 0.00043, 0.0123, 0.05, 0.9996, 12.34, 999.4, 1500, -0.0123].map(formatLatency), [
    '0us',
    '0.43us',
    '12.3us',
    '50us',
    '1.00ms',
    '12.3ms',
    '999ms',
    '1.50s',
    '-12.3us',
  ]);
  t.strictSame([0, 999, 61_000, 3_600_000, 90_061_000].map(formatDuration), [
    '0s',
    '1s',
    '1m 1s',
    '1h',
    '1d 1h',
  ]);
});
