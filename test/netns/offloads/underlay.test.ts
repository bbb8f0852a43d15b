import t from 'tap';
import { CONDITIONS, type LabCondition } from '../../../src/lab/topology.ts';
import { counted, overlayFor } from '../../fixtures/agents/overlay.ts';
import { exchange, stop } from '../../fixtures/io/offloads-off.ts';
import { labFor } from '../../fixtures/lab.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

const skip = skipUnless('root', 'netns', 'tun', 'ip', 'ethtool');
t.test('every condition of the underlay', { skip }, async t => {
  const lab = labFor(t);
  for (const condition of Object.keys(CONDITIONS) as LabCondition[]) {
    lab.condition(condition);
    for (const [mode, underlay] of [
      ['vxlan', 4],
      ['udp', 6],
    ] as const) {
      const planes = await overlayFor(t, lab, { mode, underlay });
      for (const inner of [4, 6] as const)
        t.same(
          await exchange(lab, inner),
          [],
          `${condition}, ${mode} over IPv${underlay}, inner IPv${inner}`,
        );
      for (const plane of planes) t.equal(counted(plane, 'bad-checksum'), 0);
      await stop(planes);
    }
  }
});
