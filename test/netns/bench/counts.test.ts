import t from 'tap';
import { counted } from '../../../bench/lab/counts.ts';
import { native } from '../../../src/native/load.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

const CALLS = 5000;
/** Calls that Node makes on its own meanwhile. */
const OWN = 2000;

t.test(
  'the system calls of a process are counted: all, those that find nothing, those that wait',
  { skip: skipUnless('root', 'CAP_SYS_ADMIN', 'tracefs') },
  async t => {
    const fd = native.eventOpen();
    t.teardown(() => native.closeFd(fd));
    const count = async (task: () => unknown) =>
      (await counted([process.pid], async () => void (await task()))).counts;
    const repeat = (call: () => unknown) => () => {
      for (let i = 0; i < CALLS; i++) call();
    };
    const rest = await count(() => {});
    t.ok(rest.calls < OWN, `${rest.calls} calls at rest`);
    const reads = await count(repeat(() => native.eventClear(fd)));
    t.ok(reads.empty >= CALLS && reads.calls >= CALLS && reads.calls < CALLS + OWN, JSON.stringify(reads));
    const waits = await count(repeat(() => native.waitReadable(fd, -1, -1, 0, 0)));
    t.ok(waits.waits >= CALLS && waits.empty < OWN, JSON.stringify(waits));
    const signals = await count(repeat(() => native.eventSignal(fd)));
    t.ok(signals.copied >= 8 * CALLS, `${signals.copied} bytes copied`);
    const nobody = await counted([], async () => {});
    t.match(nobody.counts, { calls: 0, switches: 0 }, 'without a process only the machine is counted');
  },
);
