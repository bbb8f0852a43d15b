import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import t from 'tap';
import { hostLocal } from '../../../src/cni/ipam/host-local/host-local.ts';
import { ALL_VERSIONS, isAtLeast } from '../../../src/cni/skel/version.ts';
import { seeded } from '../../fixtures/random.ts';
import { attachment, invoke, scratch } from './fixtures/harness.ts';

type Ipam = Record<string, unknown>;

function network(dataDir: string, ipam: Ipam = { subnet: '10.1.0.0/24' }, more: object = {}) {
  return {
    cniVersion: '1.1.0',
    name: 'net',
    type: 'x',
    ipam: { type: 'host-local', dataDir, ...ipam },
    ...more,
  };
}

const call = (command: string, id: string, config: object, ifname = 'eth0') =>
  invoke(hostLocal, attachment(command, { CNI_CONTAINERID: id, CNI_IFNAME: ifname }), config);

const addresses = (directory: string) =>
  readdirSync(directory)
    .filter(name => /^[0-9a-f]+[.:]/.test(name))
    .sort();

t.test('the life of an attachment in every version', async t => {
  for (const version of ALL_VERSIONS) {
    const dataDir = scratch(t);
    const config = {
      ...network(dataDir, {
        ranges: [[{ subnet: '10.1.0.0/24' }], [{ subnet: 'fd00:1::/64' }]],
        routes: [{ dst: '0.0.0.0/0' }, { dst: 'fd01::/64', gw: 'fd00:1::9' }],
      }),
      cniVersion: version,
    };
    const add = await call('ADD', 'a', config);
    t.equal(add.status, 0, add.text);
    if (isAtLeast(version, '0.3.0')) {
      t.strictSame(
        add.json.ips.map((one: { address: string; gateway: string }) => [one.address, one.gateway]),
        [
          ['10.1.0.2/24', '10.1.0.1'],
          ['fd00:1::2/64', 'fd00:1::1'],
        ],
      );
      t.strictSame(add.json.routes, [{ dst: '0.0.0.0/0' }, { dst: 'fd01::/64', gw: 'fd00:1::9' }]);
    } else {
      t.match(add.json, {
        ip4: { ip: '10.1.0.2/24', routes: [{ dst: '0.0.0.0/0' }] },
        ip6: { ip: 'fd00:1::2/64' },
      });
    }
    t.equal(readFileSync(`${dataDir}/net/10.1.0.2`, 'utf8'), 'a\r\neth0', 'the reference plugin reads it');
    t.equal(readFileSync(`${dataDir}/net/last_reserved_ip.1`, 'utf8'), 'fd00:1::2');
    t.match((await call('ADD', 'a', config)).json, { code: 999, msg: /duplicate allocation is not allowed/ });
    t.strictSame(addresses(`${dataDir}/net`), ['10.1.0.2', 'fd00:1::2'], 'the refused one took nothing away');
    if (isAtLeast(version, '0.4.0')) {
      t.equal((await call('CHECK', 'a', config)).status, 0);
      t.match((await call('CHECK', 'b', config)).json, {
        msg: /Failed to find address added by container b/,
      });
    }
    for (let again = 0; again < 2; again++)
      t.equal((await call('DEL', 'a', config)).status, 0, 'DEL, repeatable');
    t.strictSame(addresses(`${dataDir}/net`), []);
    if (isAtLeast(version, '0.4.0')) t.equal((await call('CHECK', 'a', config)).status, 1);
  }
});

t.test('DEL, CHECK and GC read only dataDir: faults in other keys do not block a release', async t => {
  const dataDir = scratch(t);
  const config = network(dataDir);
  for (const fault of [{ routes: [{ dst: 'default' }] }, { subnet: 'x' }, { ranges: 5 }, { resolvConf: 5 }]) {
    const wrong = network(dataDir, { subnet: '10.1.0.0/24', ...fault });
    t.match((await call('ADD', 'a', wrong)).json, { code: 7 });
    await call('ADD', 'a', config);
    await call('ADD', 'b', config);
    t.equal((await call('CHECK', 'a', wrong)).text, '', JSON.stringify(fault));
    t.equal((await call('DEL', 'a', wrong)).text, '');
    t.equal(addresses(`${dataDir}/net`).length, 1);
    t.equal((await call('GC', '', { ...wrong, 'cni.dev/valid-attachments': [] })).text, '');
    t.strictSame(addresses(`${dataDir}/net`), []);
  }
});

t.test('round robin, all addresses, none left', async t => {
  const config = network(scratch(t), { subnet: '10.1.0.0/29' });
  const given = async (id: string) => (await call('ADD', id, config)).json.ips?.[0].address;
  for (const last of [2, 3, 4, 5, 6]) t.equal(await given(`c${last}`), `10.1.0.${last}/29`);
  t.match((await call('ADD', 'more', config)).json, {
    code: 999,
    msg: 'failed to allocate for range 0: no IP addresses available in range set: 10.1.0.1-10.1.0.6',
  });
  await call('DEL', 'c3', config);
  await call('DEL', 'c5', config);
  t.equal(await given('x'), '10.1.0.3/29', 'around to the first free one');
  t.equal(await given('y'), '10.1.0.5/29');
});

t.test('requested addresses: four sources, each refusal', async t => {
  const dataDir = scratch(t);
  const config = network(dataDir, { subnet: '10.1.0.0/24' });
  const env = (args: string, id: string) => attachment('ADD', { CNI_ARGS: args, CNI_CONTAINERID: id });
  const args = await invoke(hostLocal, env('IP=10.1.0.50', 'a'), config);
  t.equal(args.json.ips[0].address, '10.1.0.50/24');
  const cni = await call('ADD', 'b', { ...config, args: { cni: { ips: ['10.1.0.51'] } } });
  t.equal(cni.json.ips[0].address, '10.1.0.51/24');
  const runtime = await call('ADD', 'c', { ...config, runtimeConfig: { ips: ['10.1.0.52/24'] } });
  t.equal(runtime.json.ips[0].address, '10.1.0.52/24', 'a length behind the address is taken off');
  t.equal((await call('ADD', 'd', config)).json.ips[0].address, '10.1.0.53/24', 'the next one follows');
  const ask = (ip: string) => call('ADD', 'x', { ...config, runtimeConfig: { ips: [ip] } });
  t.match((await ask('10.1.0.50')).json, { msg: /requested IP address 10\.1\.0\.50 is not available/ });
  t.match((await ask('10.1.0.1')).json, {
    msg: "failed to allocate for range 0: requested ip 10.1.0.1 is subnet's gateway",
  });
  t.match((await ask('10.2.0.1')).json, { msg: 'failed to allocate all requested IPs: 10.2.0.1' });
  t.match((await ask('nonsense')).json, {
    code: 7,
    msg: /^runtimeConfig\.ips\[0\]: "nonsense" is not an IP/,
  });
  t.notOk(existsSync(`${dataDir}/net/10.1.0.54`), 'a refused request leaves nothing');
  const ranges = { ...config, runtimeConfig: { ipRanges: [[{ subnet: '10.9.0.0/24' }]] } };
  t.strictSame(
    (await call('ADD', 'r', ranges)).json.ips.map((one: { address: string }) => one.address),
    ['10.9.0.2/24', '10.1.0.2/24'],
    'ranges of the runtime come first',
  );
  const bad = await invoke(hostLocal, env('IP=10.1.0.60;FOO=1', 'z'), config);
  t.match(bad.json, { code: 4, msg: /unknown args \[FOO\]/ });
  const lenient = await invoke(hostLocal, env('IgnoreUnknown=1;FOO=1;K8S_POD_NAME=p', 'z'), config);
  t.equal(lenient.status, 0);
});

t.test('all or nothing: a second set that is full gives the first one back', async t => {
  const dataDir = scratch(t);
  const full = network(dataDir, { ranges: [[{ subnet: '10.1.0.0/24' }], [{ subnet: '10.2.0.0/30' }]] });
  t.equal((await call('ADD', 'a', full)).status, 0);
  t.match((await call('ADD', 'b', full)).json, {
    msg: /^failed to allocate for range 1: no IP addresses available in range set: 10\.2\.0/,
  });
  t.strictSame(addresses(`${dataDir}/net`), ['10.1.0.2', '10.2.0.2']);
});

t.test('interfaces of one container are held apart', async t => {
  const dataDir = scratch(t);
  const config = network(dataDir);
  await call('ADD', 'a', config, 'eth0');
  await call('ADD', 'a', config, 'net1');
  await call('DEL', 'a', config, 'eth0');
  t.strictSame(addresses(`${dataDir}/net`), ['10.1.0.3']);
  t.equal((await call('CHECK', 'a', config, 'net1')).status, 0);
});

t.test('files of other writers: old format, blanks, empty, made and removed behind our back', async t => {
  const dataDir = scratch(t);
  const config = network(dataDir, { subnet: '10.1.0.0/29' });
  const directory = `${dataDir}/net`;
  mkdirSync(directory, { recursive: true });
  writeFileSync(`${directory}/10.1.0.2`, 'old\n');
  writeFileSync(`${directory}/10.1.0.3`, ' spaced\r\neth0 \n');
  writeFileSync(`${directory}/10.1.0.4`, '');
  t.equal((await call('CHECK', 'old', config)).status, 0, 'no interface in the file: any');
  t.equal((await call('DEL', 'old', config)).status, 0);
  t.equal((await call('DEL', 'spaced', config)).status, 0);
  t.strictSame(addresses(directory), ['10.1.0.4']);
  for (const want of [2, 3, 4]) {
    const { json } = await call('ADD', `n${want}`, config);
    t.equal(json.ips[0].address, `10.1.0.${want}/29`, want === 4 ? 'an empty file has no owner' : 'free');
  }
  t.equal(readFileSync(`${directory}/10.1.0.4`, 'utf8'), 'n4\r\neth0');
  writeFileSync(`${directory}/10.1.0.5`, 'foreign\r\neth0');
  t.equal((await call('ADD', 'z', config)).json.ips[0].address, '10.1.0.6/29');
  t.equal((await call('DEL', 'foreign', config)).status, 0);
  t.notOk(existsSync(`${directory}/10.1.0.5`));
});

t.test(
  'odd address files (H10): no command fails, and each address that is not left by a crash stays taken',
  async t => {
    const dataDir = scratch(t);
    const config = network(dataDir, { subnet: '10.1.0.0/28' });
    const directory = `${dataDir}/net`;
    mkdirSync(`${directory}/10.1.0.3/deep`, { recursive: true });
    mkdirSync(`${directory}/last_reserved_ip.0`);
    mkdirSync(`${directory}/.draft`);
    writeFileSync(`${directory}/10.1.0.2`, Buffer.alloc(70));
    execFileSync('mkfifo', [`${directory}/10.1.0.4`]);
    symlinkSync('/no/such/file', `${directory}/10.1.0.5`);
    symlinkSync('10.1.0.6', `${directory}/10.1.0.6`);
    writeFileSync(`${directory}/10.1.0.7`, 'x'.repeat(100_000));
    writeFileSync(`${directory}/10.1.0.8`, 'reserved for the printer\n');
    for (const command of ['STATUS', 'DEL']) t.equal((await call(command, 'a', config)).text, '', command);
    const given = async (id: string) => (await call('ADD', id, config)).json.ips?.[0].address;
    t.equal(await given('a'), '10.1.0.2/28', 'zeros are what a power cut leaves of a file');
    t.equal(await given('b'), '10.1.0.9/28', 'the others are taken');
    t.equal(await given('c'), '10.1.0.10/28', 'behind the last one');
    t.equal((await call('CHECK', 'b', config)).text, '');
    t.equal((await call('DEL', 'b', config)).text, '');
    writeFileSync(`${directory}/10.1.0.9`, Buffer.alloc(70));
    const valid = [{ containerID: 'a', ifname: 'eth0' }];
    t.equal((await call('GC', '', { ...config, 'cni.dev/valid-attachments': valid })).text, '');
    t.strictSame(addresses(directory), ['10.1.0.2', '10.1.0.3', '10.1.0.4', '10.1.0.5', '10.1.0.6']);
  },
);

t.test(
  'bounds and addresses as in the reference (B17): network and broadcast by name, IPv4-mapped addresses',
  async t => {
    const given = async (ipam: Ipam, ...ids: string[]) => {
      const config = network(scratch(t), ipam);
      const found: string[] = [];
      for (const id of ids) found.push((await call('ADD', id, config)).json.ips?.[0].address);
      return found;
    };
    const whole = { subnet: '10.1.0.0/30', rangeStart: '10.1.0.0', rangeEnd: '10.1.0.3' };
    t.strictSame(await given(whole, 'a', 'b', 'c'), ['10.1.0.0/30', '10.1.0.2/30', '10.1.0.3/30']);
    const mapped = { subnet: '10.1.0.0/24', rangeStart: '::ffff:10.1.0.9', gateway: '::ffff:10.1.0.254' };
    t.strictSame(await given(mapped, 'a'), ['10.1.0.9/24']);
    const asked = network(
      scratch(t),
      { subnet: '10.1.0.0/24' },
      { runtimeConfig: { ips: ['::ffff:10.1.0.77'] } },
    );
    t.match((await call('ADD', 'a', asked)).json, {
      ips: [{ address: '10.1.0.77/24', gateway: '10.1.0.1' }],
    });
    t.match((await call('ADD', 'a', network(scratch(t), { subnet: '::ffff:10.1.0.0/120' }))).json, {
      code: 7,
      msg: 'invalid range set 0: IPNet IP and Mask version mismatch',
    });
  },
);

t.test('GC keeps the living and frees the rest', async t => {
  const dataDir = scratch(t);
  const config = network(dataDir);
  for (const id of ['a', 'b', 'c']) await call('ADD', id, config);
  await call('ADD', 'a', config, 'net1');
  writeFileSync(`${dataDir}/net/10.1.0.99`, '');
  writeFileSync(`${dataDir}/net/10.1.0.98`, 'b');
  const valid = [
    { containerID: 'a', ifname: 'net1' },
    { containerID: 'b', ifname: 'eth0' },
  ];
  const gc = await call('GC', '', { ...config, 'cni.dev/valid-attachments': valid });
  t.equal(gc.status, 0, gc.text);
  t.strictSame(addresses(`${dataDir}/net`), ['10.1.0.3', '10.1.0.5', '10.1.0.98']);
  t.match((await call('GC', '', config)).json, { code: 7, msg: 'cni.dev/valid-attachments: is missing' });
  t.equal(addresses(`${dataDir}/net`).length, 3, 'a GC without a list frees nothing');
  t.equal((await call('GC', '', { ...config, 'cni.dev/valid-attachments': null })).status, 0);
  t.strictSame(addresses(`${dataDir}/net`), []);
  t.equal((await call('ADD', 'a', config)).status, 0, 'what was freed can be given again');
});

t.test('STATUS tells a configuration or directory that cannot work', async t => {
  const dataDir = scratch(t);
  t.equal((await call('STATUS', '', network(dataDir))).status, 0);
  t.match((await call('STATUS', '', network(dataDir, {}))).json, { code: 50, msg: /no IP ranges specified/ });
  writeFileSync(`${dataDir}/file`, '');
  t.match((await call('STATUS', '', network(`${dataDir}/file`))).json, { code: 50, msg: /lock of/ });
});

t.test('bad configurations', async t => {
  const dataDir = scratch(t);
  const fifo = `${dataDir}/fifo`;
  execFileSync('mkfifo', [fifo]);
  const cases: [object, number, RegExp][] = [
    [{ cniVersion: '1.0.0', name: 'net' }, 7, /^IPAM config missing 'ipam' key/],
    [network(dataDir, {}), 7, /no IP ranges specified/],
    [network(dataDir, { ranges: {} }), 7, /^ipam\.ranges: must be a list/],
    [
      network(dataDir, { ranges: [[{ subnet: '10.1.0.0/24' }], [{ subnet: '10.1.0.0/25' }]] }),
      7,
      /^range set 0 overlaps with 1/,
    ],
    [network(dataDir, { subnet: '10.1.0.0/24', resolvConf: '/no/such/file' }), 5, /resolvConf/],
    [
      network(dataDir, { subnet: '10.1.0.0/24', resolvConf: fifo }),
      5,
      /resolvConf: .*fifo is not a regular file/,
    ],
    [network(dataDir, { subnet: 5 }), 7, /^ipam\.subnet: 5 is not a CIDR/],
    [
      {
        ...network(dataDir, { ranges: [[{ subnet: '10.1.0.0/24' }], [{ subnet: '10.2.0.0/24' }]] }),
        cniVersion: '0.2.0',
      },
      7,
      /does not support more than 1 address per family/,
    ],
  ];
  for (const [config, code, msg] of cases) t.match((await call('ADD', 'a', config)).json, { code, msg });
  t.notOk(existsSync(`${dataDir}/net`), 'nothing was made');
});

t.test('resolvConf becomes dns', async t => {
  const dataDir = scratch(t);
  const text =
    'nameserver 10.0.0.10 # first\n;x\nnameserver fd00::10\nsearch a b\nsearch c\ndomain d\noptions ndots:5 rotate\n';
  writeFileSync(`${dataDir}/resolv.conf`, text);
  const { json } = await call(
    'ADD',
    'a',
    network(dataDir, { subnet: '10.1.0.0/24', resolvConf: `${dataDir}/resolv.conf` }),
  );
  t.strictSame(json.dns, {
    nameservers: ['10.0.0.10', 'fd00::10'],
    domain: 'd',
    search: ['a', 'b', 'c'],
    options: ['ndots:5', 'rotate'],
  });
});

t.test('a hundred at once, mixed with releases: no address twice', async t => {
  const random = seeded(t, 5);
  const dataDir = scratch(t);
  const config = network(dataDir, { subnet: '10.1.0.0/24' });
  const held = new Map<string, string>();
  const answers = await Promise.all(
    Array.from({ length: 100 }, async (_, i) => {
      const id = `c${i}`;
      const { json, status } = await call('ADD', id, config);
      t.equal(status, 0);
      if (random.chance(0.3)) await call('DEL', id, config);
      else held.set(id, json.ips[0].address.split('/')[0]);
      return json.ips[0].address;
    }),
  );
  t.equal(answers.length, 100);
  t.strictSame(addresses(`${dataDir}/net`), [...held.values()].sort(), 'the files are exactly what is held');
  for (const [id, address] of held)
    t.equal(readFileSync(`${dataDir}/net/${address}`, 'utf8'), `${id}\r\neth0`);
});
