import t from 'tap';
import { AGENT_FLAGS, parseFlags } from '../../../../src/agent/config/flags.ts';
import { agentOptions } from '../../../../src/agent/inputs/options.ts';
import { describeFlags } from '../../../../src/cli/commands/node/flags-help.ts';

t.test('defaults are flanneld’s', async t => {
  const flags = parseFlags([], {});
  t.same(flags.list('etcd-endpoints'), ['http://127.0.0.1:4001', 'http://127.0.0.1:2379']);
  t.equal(flags.text('etcd-prefix'), '/coreos.com/network');
  t.equal(flags.number('subnet-lease-renew-margin'), 60);
  t.equal(flags.boolean('iptables-forward-rules'), true);
  t.equal(flags.boolean('ip-masq'), false);
  t.equal(agentOptions(flags, 'n').subnetFile, '/run/flannel/subnet.env');
  t.same(flags.notes, []);
});

t.test('an instance shares no file with another agent', async t => {
  const of = (...argv: string[]) => agentOptions(parseFlags(['--instance=blue', ...argv], {}), 'n');
  t.match(of(), { stateDir: '/run/ripstop-blue', subnetFile: '/run/ripstop-blue/subnet.env' });
  t.equal(of('--state-dir=/s').subnetFile, '/s/subnet.env');
  t.equal(of('--subnet-file=/run/flannel/subnet.env').subnetFile, '/run/flannel/subnet.env');
});

t.test('forms of Go’s flag package', async t => {
  const flags = parseFlags(
    [
      '-etcd-prefix=/a',
      '--etcd-endpoints',
      'http://x:1,http://y:2',
      '--ip-masq',
      '--kube-subnet-mgr=0',
      '--iface=eth0',
      '-iface',
      '10.0.0.1',
      '--v=4',
    ],
    {},
  );
  t.equal(flags.text('etcd-prefix'), '/a');
  t.same(flags.list('etcd-endpoints'), ['http://x:1', 'http://y:2']);
  t.equal(flags.boolean('ip-masq'), true);
  t.equal(flags.boolean('kube-subnet-mgr'), false);
  t.same(flags.list('iface'), ['eth0', '10.0.0.1']);
  t.equal(flags.number('v'), 4);
});

t.test('the command line wins over the environment', async t => {
  const env = {
    FLANNELD_ETCD_PREFIX: '/env',
    FLANNELD_IFACE: 'a,b',
    FLANNELD_IP_MASQ: 'true',
    RIPSTOP_DATA_PLANE: 'kernel',
    FLANNELD_NO_SUCH: '1',
  };
  const flags = parseFlags(['--etcd-prefix', '/cli'], env);
  t.equal(flags.text('etcd-prefix'), '/cli');
  t.same(flags.list('iface'), ['a', 'b']);
  t.equal(flags.boolean('ip-masq'), true);
  t.equal(flags.text('data-plane'), 'kernel');
  t.same(flags.notes, ['ignoring the variable FLANNELD_NO_SUCH: no flag has this name']);
});

t.test('refusals say what would be right', async t => {
  t.throws(() => parseFlags(['--ifcae=x'], {}), {
    code: 'ECONFIG',
    message: '--ifcae: unknown flag',
    hint: 'did you mean --iface?',
  });
  t.throws(() => parseFlags(['--subnet-lease-renew-margin=0'], {}), { message: /within 1..1439/ });
  t.throws(() => parseFlags(['--subnet-lease-renew-margin=1440'], {}), { message: /within 1..1439/ });
  t.throws(() => parseFlags(['--ip-masq=yes'], {}), { message: /not true or false/ });
  t.throws(() => parseFlags(['--public-ip'], {}), { message: /its value is missing/ });
  t.throws(() => parseFlags(['eth0'], {}), { message: /not a flag/ });
  t.throws(() => parseFlags(['--data-plane=kernal'], {}), { message: /did you mean "kernel"/ });
  t.throws(() => parseFlags([], { FLANNELD_HEALTHZ_PORT: 'x' }), { message: /FLANNELD_HEALTHZ_PORT/ });
});

t.test('klog’s flags are accepted and said to be without effect', async t => {
  t.same(parseFlags(['--vmodule=x=1'], {}).notes, ['--vmodule has no effect: klog’s; use --log-level']);
});

t.test('help lists every flag that has an effect, in lines of 80 columns', async t => {
  const help = describeFlags(AGENT_FLAGS);
  t.match(help, /\nUnderlay:\n {2}--iface .*\n[\s\S]*--iface-can-reach/);
  t.notMatch(help, /vmodule/);
  t.same(
    help.split('\n').filter(line => line.length > 80),
    [],
  );
});

t.test('a flag that the command does not take is refused, and its variable changes nothing', async t => {
  const set = {
    command: 'ripstop run',
    defaults: { store: 'static', 'store-path': 'node.yaml' },
    without: ['store'] as const,
  };
  const env = { RIPSTOP_STORE: 'etcd', RIPSTOP_STORE_PATH: 'other.yaml' };
  const flags = parseFlags([], env, set);
  t.equal(flags.text('store'), 'static');
  t.equal(flags.text('store-path'), 'node.yaml');
  t.throws(() => parseFlags(['--store=etcd'], {}, set), {
    code: 'ECONFIG',
    message: '--store: not a flag of ripstop run',
    hint: 'see ripstop run --help',
  });
  t.notMatch(describeFlags(set), /--store/);
});

t.test('values that no start can use are refused before it', async t => {
  const wrong: Record<string, RegExp> = {
    '--iface-regex=(': /--iface-regex: "\(" is not a pattern/,
    '--public-ip=fd00::1': /--public-ip: "fd00::1" is not an IPv4 address/,
    '--public-ipv6=x': /--public-ipv6: "x" is not an IPv6 address/,
    '--web-ip=localhost': /--web-ip: "localhost" is not an IP address/,
    '--instance=BAD': /--instance: "BAD"/,
  };
  for (const [flag, message] of Object.entries(wrong))
    t.throws(() => agentOptions(parseFlags([flag], {}), 'n'), { code: 'ECONFIG', message }, flag);
});
