import t from 'tap';
import { CHECKOUT } from '../../../bench/lab/tool.ts';
import { CASES, lacking, type Observed, REFERENCE } from '../../fixtures/cni/reference-links.ts';
import { asTheReference } from '../../fixtures/cni/reference-links-verdict.ts';
import { guestMissing, runInGuest } from '../../fixtures/qemu/qemu.ts';
import { CASES as REFUSALS } from '../../fixtures/qemu/route-refusals.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

/*
 * The kinds of link that this machine's kernel does not have (ipvlan, vlan, dummy, VRF, VLAN filtering of bridges), in a
 * guest whose kernel has them: what our plugins make there is what the reference plugins make. The same guest shows what
 * an older kernel answers about routes.
 */

/** Boot included; a busy machine takes many times what an idle one does. */
const GUEST_MS = 1_500_000;

const skip = skipUnless('root', 'netns', 'ip', 'nft', `${REFERENCE}/bridge`) || (await guestMissing());
const wanted = skip ? [] : CASES.filter(one => lacking(one) !== undefined);
const nothing = !skip && wanted.length === 0 && 'the kernel of this machine has them all';

/** Tests of other files that only a richer kernel can run; each loads tap, which costs the guest five seconds. */
const ELSEWHERE = [
  { file: 'netns/cni/bridge', name: 'layer 2: VLANs and trunks' },
  { file: 'netns/cni/routing', name: 'VRF and dummy: the life of a pod' },
];

t.test('links that this kernel lacks', { skip: skip || nothing, timeout: GUEST_MS + 10_000 }, async t => {
  const names = wanted.map(one => `'${one.name}'`).join(' ');
  const script = `
    ${process.execPath} ${CHECKOUT}dist/test/fixtures/qemu/qemu-links-program.js ${names} || exit
    ${process.execPath} ${CHECKOUT}dist/test/fixtures/qemu/qemu-routes-program.js || exit
    export TAP_TIMEOUT=${GUEST_MS / 1000}
    ${ELSEWHERE.map(({ file, name }) => `TAP_GREP='/^${name}$/' ${process.execPath} ${CHECKOUT}dist/test/${file}.test.js`).join(' &&\n    ')}`;
  const { code, output } = await runInGuest({ script, timeoutMs: GUEST_MS });
  t.equal(code, 0, 'the programs in the guest came to their end');
  const answers = output
    .split('\n')
    .filter(line => line.startsWith('{"name"'))
    .map(line => JSON.parse(line) as { name: string; fault?: string; observed?: Observed });
  for (const { name } of wanted) {
    const answer = answers.find(one => one.name === name);
    await t.test(name, async t => {
      if (answer?.observed) asTheReference(t, answer.observed);
      else t.fail(answer?.fault ?? 'the guest did not come to it', { output });
    });
  }
  for (const { file, name } of ELSEWHERE)
    t.match(output, new RegExp(`^ok \\d+ - ${name} # time`, 'm'), `${file}, in the guest`);
  await t.test('routes that its kernel refuses are explained', async t => {
    const line = output.split('\n').find(one => one.startsWith('{"verdicts"')) ?? '{"verdicts":{}}';
    const { verdicts } = JSON.parse(line) as { verdicts: Record<string, string> };
    for (const { name, verdict } of REFUSALS) t.match(verdicts[name], verdict, name);
  });
});
