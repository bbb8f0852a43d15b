import { spawn } from 'node:child_process';
import { once } from 'node:events';
import t from 'tap';
import {
  iptables,
  restoreIptables,
  rulesOfChain,
  saveIptables,
  variantsInUse,
} from '../../../src/net/iptables.ts';
import { splitRule } from '../../../src/net/iptables-words.ts';
import { applyNft, applyNftScript, listNft } from '../../../src/net/nft/nft.ts';
import { changeLink, createLink, getLink } from '../../../src/net/rtnetlink/links.ts';
import {
  deleteIngressQdisc,
  deleteRootQdisc,
  listQdiscs,
  redirectIngress,
  replaceTokenBucket,
} from '../../../src/net/rtnetlink/qdisc.ts';
import { kernelFor } from '../../fixtures/agents/kernel.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

t.test('nftables', { skip: skipUnless('root', 'netns', 'nft') }, async t => {
  const { ns } = kernelFor(t);
  const table = { family: 'inet', name: 'ripstop-test' };
  t.same(await listNft(ns.path, ['table', 'inet', 'ripstop-test']), [], 'an absent table is an empty list');
  await applyNft(ns.path, [
    { add: { table } },
    {
      add: {
        chain: {
          family: 'inet',
          table: table.name,
          name: 'post',
          type: 'nat',
          hook: 'postrouting',
          prio: 100,
        },
      },
    },
  ]);
  const objects = await listNft(ns.path, ['table', 'inet', 'ripstop-test']);
  t.ok(objects.some(object => (object.chain as { name?: string } | undefined)?.name === 'post'));
  await t.rejects(
    applyNft(ns.path, [
      { delete: { table } },
      { add: { rule: { family: 'inet', table: table.name, chain: 'nowhere', expr: [] } } },
    ]),
    { code: 'ECOMMAND' },
  );
  t.equal(
    (await listNft(ns.path, ['table', 'inet', 'ripstop-test'])).length,
    objects.length,
    'all or nothing',
  );
  await applyNftScript(ns.path, 'table inet ripstop-test {\n chain two {\n }\n}\n');
  t.equal((await listNft(ns.path, ['chains'])).length, 2);
});

/** Sends SIGCHLD to its parent until that has ended, as many children that end would. */
const SIGNALS = `
const { kill, ppid } = process;
while (process.ppid === ppid) for (let i = 0; i < 1000; i++) kill(ppid, 'SIGCHLD');
`;

t.test('nftables while signals come', { skip: skipUnless('root', 'netns', 'nft') }, async t => {
  const { ns } = kernelFor(t);
  const sender = spawn(process.execPath, ['-e', SIGNALS]);
  t.teardown(() => sender.kill('SIGKILL'));
  await once(sender, 'spawn');
  await applyNftScript(ns.path, 'add table inet t\nadd set inet t s { type inet_service ; }\n');
  // What was made or deleted is neither reported as a failure nor made or deleted twice.
  for (let i = 0; i < 500; i++) {
    await applyNftScript(ns.path, 'create element inet t s { 80 }\n');
    await applyNftScript(ns.path, 'delete element inet t s { 80 }\n');
  }
  t.match(await listNft(ns.path, ['set', 'inet', 't', 's']), [{ set: { elem: undefined } }]);
});

t.test('a table ip nat on a node without iptables', { skip: skipUnless('root', 'netns', 'nft') }, async t => {
  const { ns } = kernelFor(t);
  ns.must(['nft', '-f', '-'], 'table ip nat {\n chain own {\n }\n}\n');
  const { PATH } = process.env;
  t.teardown(() => {
    process.env.PATH = PATH;
  });
  process.env.PATH = '/nonexistent';
  t.same(await variantsInUse(ns.path, 4, 'nat'), [], 'it is not one of iptables');
  t.same(await variantsInUse(ns.path, 4, 'nat', 'absent'), []);
  t.same(await variantsInUse(ns.path, 4, 'nat', 'own'), ['nft'], 'a chain that is looked for counts');
});

t.test('iptables', { skip: skipUnless('root', 'netns', 'iptables', 'ip6tables') }, async t => {
  const { ns } = kernelFor(t);
  for (const family of [4, 6] as const) {
    const source = family === 4 ? '10.1.0.0/16' : 'fd00::/64';
    const foreign = ['-t', 'nat', '-A', 'POSTROUTING', '-j', 'RETURN'];
    t.ok(await iptables(ns.path, family, foreign));
    const rule = `-A RS-TEST -s ${source} -m comment --comment "a \\"quoted\\" word" -j MASQUERADE`;
    await restoreIptables(ns.path, family, `*nat\n:RS-TEST - [0:0]\n${rule}\n${rule}\nCOMMIT\n`);
    await restoreIptables(ns.path, family, `*nat\n:RS-TEST - [0:0]\n${rule}\nCOMMIT\n`);
    const saved = await saveIptables(ns.path, family, 'nat');
    const rules = rulesOfChain(saved, 'RS-TEST');
    t.equal(rules.length, 1, 'the chain was refilled, not added to');
    t.match(splitRule(rules[0]!), [
      '-A',
      'RS-TEST',
      '-s',
      source,
      '-m',
      'comment',
      '--comment',
      'a "quoted" word',
    ]);
    t.equal(rulesOfChain(saved, 'POSTROUTING').length, 1, 'the foreign rule stays');
    t.notOk(await iptables(ns.path, family, ['-t', 'nat', '-C', 'POSTROUTING', '-j', 'RS-TEST']));
    await t.rejects(restoreIptables(ns.path, family, '*nat\n-A NOWHERE -j ACCEPT\nCOMMIT\n'), {
      code: 'ECOMMAND',
    });
  }
});

t.test('shaping', { skip: skipUnless('root', 'netns', 'tc') }, async t => {
  const { socket, tc } = kernelFor(t);
  createLink(socket, { kind: 'veth', name: 'a', up: true, peer: { name: 'b' } });
  createLink(socket, { kind: 'bridge', name: 'target', up: true });
  const { index } = getLink(socket, 'a');
  changeLink(socket, getLink(socket, 'b').index, { up: true });
  const bucket = { rate: 1_000_000, burst: 50_000, limit: 75_000 };
  replaceTokenBucket(socket, index, bucket);
  const [shown] = tc('qdisc', 'show', 'dev', 'a');
  t.match(shown, { kind: 'tbf', root: true, options: { rate: 1_000_000 } });
  const read = listQdiscs(socket, index).find(qdisc => qdisc.root)?.tokenBucket;
  t.match(read, { rate: 1_000_000, limit: 75_000 });
  t.ok(Math.abs(read!.burst - bucket.burst) < 100, `burst ${read!.burst}`);
  // Above 2^32 bytes a second the rate travels in an attribute of its own.
  replaceTokenBucket(socket, index, { rate: 5_000_000_000, burst: 5_000_000, limit: 9_000_000 });
  t.equal(listQdiscs(socket, index).find(qdisc => qdisc.root)?.tokenBucket?.rate, 5_000_000_000);
  t.ok(deleteRootQdisc(socket, index));
  t.notOk(deleteRootQdisc(socket, index), 'deleting again does not fail');

  redirectIngress(socket, index, getLink(socket, 'target').index);
  t.match(tc('qdisc', 'show', 'dev', 'a', 'ingress'), [{ kind: 'ingress' }]);
  const filters = JSON.stringify(tc('filter', 'show', 'dev', 'a', 'ingress'));
  t.match(filters, /"kind":"mirred"/);
  t.match(filters, /"to_dev":"target"/);
  t.match(filters, /"protocol":"all"/);
  t.ok(deleteIngressQdisc(socket, index));
  t.notOk(deleteIngressQdisc(socket, index), 'deleting again does not fail');
});
