import t from 'tap';
import { parseFlags } from '../../../../src/agent/config/flags.ts';
import { agentOptions } from '../../../../src/agent/inputs/options.ts';
import { goPattern } from '../../../../src/base/text/go-pattern.ts';

t.test("a pattern in Go's syntax (A20): flags, classes, and any part of the text", async t => {
  const matches = (pattern: string, text: string) => goPattern(pattern, '--iface-regex')(text);
  t.ok(matches('(?i)^ETH', 'eth0'));
  t.ok(matches('^[[:alpha:]]+0$', 'eth0'));
  t.notOk(matches('^[[:alpha:]]+0$', 'eth1'));
  t.ok(matches('31\\.9', '172.31.9.2'));
  t.ok(matches('^\\x{65}th\\pN$', 'eth7'));
  t.notOk(matches('^eth\\z', 'eth0'));
});

t.test('a pattern as flag and as variable (A20): the same, with commas', async t => {
  const pattern = '^172\\.31\\.\\d{1,3}\\.';
  const given = [
    parseFlags([`--iface-regex=${pattern}`], {}),
    parseFlags([], { FLANNELD_IFACE_REGEX: pattern }),
  ];
  for (const flags of given) t.same(agentOptions(flags, 'n').ifaceRegex, [pattern]);
  t.same(parseFlags([], { FLANNELD_IFACE: 'eth0,eth1' }).list('iface'), ['eth0', 'eth1']);
});

t.test('a wrong pattern (A20): an error of the configuration before anything starts', async t => {
  for (const pattern of ['(', 'a**', '(?=x)', '\\1', '[z-a]']) {
    const flags = parseFlags([`--iface-regex=${pattern}`], {});
    t.throws(() => agentOptions(flags, 'n'), { code: 'ECONFIG', message: /--iface-regex/ }, pattern);
  }
});
