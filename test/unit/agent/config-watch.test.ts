import t from 'tap';
import { ConfigWatch, type StartStep } from '../../../src/agent/config-watch.ts';
import type { InputResolver, NetworkInputs } from '../../../src/agent/inputs/resolve.ts';
import type { LeaseClient } from '../../../src/agent/lease/client.ts';
import type { LeaseStore } from '../../../src/agent/lease/store.ts';
import { RipstopError } from '../../../src/base/errors.ts';
import type { Log } from '../../../src/base/log.ts';

const REFUSED = new RipstopError('ECONFIG', 'bad text');
const KEEPING = 'keeping the current configuration: bad text';

/** A watch over a store whose text is `stored.text`; the text `bad` is refused, the text `good` is in force. */
function watching() {
  const lines: string[] = [];
  const stored = { text: 'good' };
  const start: { step: StartStep | undefined } = { step: undefined };
  const resolver: Partial<Pick<InputResolver, 'config' | 'refused' | 'parse'>> = {
    config: { text: 'good', source: 'x' },
    parse: () => {
      throw REFUSED;
    },
  };
  const log = {
    info: (...args: unknown[]) => lines.push(String(args.at(-1))),
    error: (text: string) => lines.push(text),
  };
  const watch = new ConfigWatch({
    store: { networkConfig: async () => ({ text: stored.text, source: 'x' }) } as LeaseStore,
    resolver: resolver as InputResolver,
    lease: {} as LeaseClient,
    log: log as unknown as Log,
    network: () => undefined,
    startStep: () => start.step,
    neighbourhood: () => undefined,
    restart: why => lines.push(why),
    takenUp: () => {},
    warn: () => {},
  });
  const reload = async (): Promise<string[]> => {
    lines.length = 0;
    await watch.reload();
    return [...lines];
  };
  return { watch, stored, start, resolver, lines, reload };
}

t.test('a reload that is refused reports no success, and each reload reports the reason', async t => {
  const { watch, stored, lines, reload } = watching();
  stored.text = 'bad';
  for (let n = 0; n < 2; n++) {
    t.same(await reload(), ['reading the configuration again', KEEPING]);
    t.equal(watch.fault, 'bad text');
  }
  lines.length = 0;
  watch.retry();
  t.same(lines, [], 'a further attempt of the agent itself reports nothing');
  stored.text = 'good';
  t.same(await reload(), ['reading the configuration again', 'configuration read again']);
  t.equal(watch.fault, undefined);
});

t.test(
  'a configuration that is reported during a start: the start is repeated, and nothing is taken up',
  async t => {
    const { watch, start, resolver, lines } = watching();
    const AGAIN = 'the network configuration changed while the overlay was being started';
    start.step = 'reading';
    watch.changed('good');
    t.same(lines.splice(0), [AGAIN], 'the text in force: the start may have read another one');
    start.step = 'opening';
    watch.changed('good');
    t.same(lines, [], 'the text of the start');
    watch.changed('bad');
    t.same(lines.splice(0), [AGAIN], 'another one, which the start reads again and judges');
    t.equal(watch.fault, undefined);
    t.same(resolver.config, { text: 'good', source: 'x' });
  },
);

t.test('a configuration that the next inputs leave out is a fault, reported once', async t => {
  const { watch, resolver, lines } = watching();
  const inputs = { settings: { faults: [] as readonly string[] } } as NetworkInputs;
  watch.resolved(inputs, true);
  t.equal(watch.fault, undefined);
  resolver.refused = { text: 'bad', error: REFUSED };
  watch.resolved(inputs, true);
  watch.resolved(inputs, true);
  t.equal(watch.fault, 'bad text');
  t.same(lines, [KEEPING]);
  watch.changed('good');
  t.equal(watch.fault, undefined, 'the one before was restored');
  watch.resolved(inputs, true);
  t.equal(watch.fault, 'bad text');
  resolver.refused = undefined;
  watch.resolved(inputs, false);
  t.equal(watch.fault, 'bad text', 'saved inputs say nothing about the store');
  watch.resolved(inputs, true);
  t.equal(watch.fault, undefined, 'a start read the one that was restored');
});

t.test(
  'a configuration that is deleted (J11 e): a fault until it is there again, with the text in force',
  async t => {
    const { watch, lines } = watching();
    watch.changed(undefined);
    watch.changed(undefined);
    t.match(watch.fault, /^x was deleted; write it again/);
    t.equal(lines.length, 1, 'logged once');
    watch.changed('good');
    t.equal(watch.fault, undefined);
  },
);
