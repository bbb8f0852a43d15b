import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { SETTINGS } from '../../../../src/agent/config/settings.ts';
import { RecorderWatch } from '../../../../src/agent/recorder/recorder-watch.ts';
import { createLog } from '../../../../src/base/log.ts';
import { until } from '../../../../src/lab/until.ts';
import { recorded } from '../../capture/fixtures/recorded.ts';

const SETTING_VALUES = Object.fromEntries(
  Object.entries(SETTINGS).map(([name, { fallback }]) => [name, fallback]),
);

t.test('a lag above the limit is written to a file, named in an Event, and once', async t => {
  const stateDir = mkdtempSync(join(tmpdir(), 'recorder-watch-'));
  t.teardown(() => rmSync(stateDir, { recursive: true, force: true }));
  const { recorder } = recorded(t);
  const lag = { lastMs: 10, maxMs: 10 };
  const overlay = {
    recorder,
    plan: { device: 'flannel.1' },
    plane: { lag: { egress: lag, ingress: { lastMs: 0, maxMs: 0 } } },
    counters: () => ({ peers: {} }),
  };
  const events: string[] = [];
  const watch = new RecorderWatch({
    stateDir,
    overlays: () => [overlay] as never,
    settings: () => SETTING_VALUES as never,
    log: createLog('silent'),
    recordEvent: message => events.push(message),
  });
  t.teardown(() => watch.stop());
  watch.look();
  lag.lastMs = 1900;
  for (let look = 0; look < 3; look++) watch.look();
  await until('the Event', () => events.length > 0);
  await watch.stop();
  const files = readdirSync(join(stateDir, 'recordings'));
  t.equal(files.length, 1);
  t.match(files[0], /-worker-lag-flannel\.1\.pcapng$/);
  t.same(events, [
    `flannel.1: a worker did not respond for 1900 ms (limit 1000 ms): ${stateDir}/recordings/${files[0]}`,
  ]);
});

t.test('a directory that cannot be written is logged and does not stop the watch', async t => {
  const { recorder } = recorded(t);
  const lag = { lastMs: 1900, maxMs: 1900 };
  const overlay = {
    recorder,
    plan: { device: 'flannel.1' },
    plane: { lag: { egress: lag, ingress: lag } },
    counters: () => ({ peers: {} }),
  };
  const events: string[] = [];
  const watch = new RecorderWatch({
    stateDir: process.execPath,
    overlays: () => [overlay] as never,
    settings: () => SETTING_VALUES as never,
    log: createLog('silent'),
    recordEvent: message => events.push(message),
  });
  watch.look();
  watch.look();
  await watch.stop();
  t.same(events, []);
});
