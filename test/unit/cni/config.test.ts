import { createHash } from 'node:crypto';
import t from 'tap';
import { flag, listOf, required, text, withDefault } from '../../../src/base/schema.ts';
import { passthroughObject, readIgnoringUnknown } from '../../../src/cni/config/ignore-unknown.ts';
import { readCniArgs } from '../../../src/cni/config/runtime.ts';
import { sha256 } from '../../../src/cni/link/sha256.ts';
import { sha512 } from '../../../src/cni/link/sha512.ts';
import { networkTag, staleTags, tagOf } from '../../../src/cni/link/tag.ts';
import { readConfig as readRipstop } from '../../../src/cni/main/ripstop/config.ts';
import { parseSubnetEnv } from '../../../src/cni/meta/flannel/subnet-env.ts';
import { settingName } from '../../../src/cni/meta/tuning/config.ts';
import { tuning } from '../../../src/cni/meta/tuning/tuning.ts';
import { encodeResponse, parseRequest, requestLength } from '../../../src/cni/shim/protocol.ts';
import type { Call } from '../../../src/cni/skel/plugin.ts';
import { encodeRequest, parseResponse } from '../../fixtures/cni/protocol.ts';
import { seeded } from '../../fixtures/random.ts';
import { attachment, invoke } from './fixtures/harness.ts';

t.test('configurations of the standard plugins are open, and names match in any case', t => {
  const fields = {
    isGateway: withDefault(flag('x'), false),
    name: required(text('a text', 'x', /./)),
    list: listOf(passthroughObject({ minID: text('a text', 'x') }, 'x'), 'x'),
  };
  t.match(
    readIgnoringUnknown(fields, { isgateway: true, name: 'a', other: 5, list: [{ MINID: 'b', z: 1 }] }, ''),
    {
      isGateway: true,
      name: 'a',
      list: [{ minID: 'b' }],
    },
  );
  t.equal(
    readIgnoringUnknown(fields, { isGateway: false, ISGATEWAY: true, name: 'a' }, '').isGateway,
    true,
    'the last one wins',
  );
  t.equal(readIgnoringUnknown(fields, { isGateway: null, name: 'a' }, '').isGateway, false, 'null is absent');
  t.throws(() => readIgnoringUnknown(fields, {}, ''), { code: 'ECONFIG', message: /^name: is missing/ });
  t.throws(() => readIgnoringUnknown(fields, { name: 'a', list: [{ minID: 5 }] }, ''), {
    message: /^list\[0\]\.minID: 5 is not a text/,
  });
  t.throws(() => readIgnoringUnknown(fields, [], 'x'), { code: 'ECONFIG', message: 'x: must be an object' });
  t.throws(() => readIgnoringUnknown(fields, 'text', ''), { message: 'configuration: must be an object' });
  t.end();
});

t.test("an empty subnetFile is flannel's default, as in the plugin flannel", t => {
  const of = (config: object) =>
    readRipstop({ config, name: 'net', cwd: '/x' } as unknown as Call, undefined);
  t.equal(of({ subnetFile: '' }).subnetFile, '/run/flannel/subnet.env');
  t.equal(of({}).subnetFile, '/run/flannel/subnet.env');
  t.equal(of({ subnetFile: 'a.env' }).subnetFile, '/x/a.env');
  t.end();
});

t.test('CNI_ARGS', t => {
  t.strictSame(
    [...readCniArgs('IP=10.0.0.1;MAC=02:00:00:00:00:01;', ['IP', 'MAC'])],
    [
      ['IP', '10.0.0.1'],
      ['MAC', '02:00:00:00:00:01'],
    ],
  );
  t.equal(readCniArgs('', []).size, 0);
  t.doesNotThrow(() => readCniArgs('K8S_POD_NAME=p;K8S_POD_NAMESPACE=n;K8S_POD_INFRA_CONTAINER_ID=i', []));
  t.doesNotThrow(() => readCniArgs('FOO=1;IgnoreUnknown=true', []));
  t.throws(() => readCniArgs('FOO=1;IgnoreUnknown=false', []), { code: 4, message: /unknown args \[FOO\]/ });
  for (const bad of ['FOO', '=x', 'A=b=c'])
    t.throws(() => readCniArgs(bad, ['FOO', 'A']), { code: 4, message: /invalid pair/ }, bad);
  t.end();
});

t.test('subnet.env', t => {
  const whole =
    'FLANNEL_NETWORK=10.244.0.0/16,10.9.0.0/16\nFLANNEL_SUBNET=10.244.3.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\nOTHER=x\n';
  t.strictSame(parseSubnetEnv(whole, 'f'), {
    networks: ['10.244.0.0/16', '10.9.0.0/16'],
    subnets: ['10.244.3.0/24'],
    mtu: 1450,
    ipMasq: true,
  });
  const v6 =
    'FLANNEL_IPV6_NETWORK=fd00::/48\nFLANNEL_IPV6_SUBNET=fd00:0:0:3::1/64\nFLANNEL_MTU=1\nFLANNEL_IPMASQ=false';
  t.match(parseSubnetEnv(v6, 'f'), { networks: ['fd00::/48'], subnets: ['fd00:0:0:3::/64'], ipMasq: false });
  t.throws(() => parseSubnetEnv('', 'f'), {
    code: 7,
    message: /^f: is missing FLANNEL_NETWORK, .*FLANNEL_MTU, FLANNEL_IPMASQ$/,
  });
  t.throws(() => parseSubnetEnv(whole.replace('1450', 'x'), 'f'), { code: 7, message: /FLANNEL_MTU: "x"/ });
  t.throws(() => parseSubnetEnv(whole.replace('=true', '=yes'), 'f'), {
    code: 7,
    message: /FLANNEL_IPMASQ: "yes"/,
  });
  t.throws(() => parseSubnetEnv(whole.replace('10.9.0.0/16', '10.9.0.0'), 'f'), {
    code: 7,
    message: /FLANNEL_NETWORK: "10\.9\.0\.0"/,
  });
  t.end();
});

t.test('names of settings: dots or slashes, an interface with a dot', t => {
  t.equal(settingName('net.ipv4.conf.IFNAME.arp_filter', 'eth0.5'), 'net/ipv4/conf/eth0.5/arp_filter');
  t.equal(settingName('net/ipv4/conf/eth0.5/arp_filter', 'eth0'), 'net/ipv4/conf/eth0.5/arp_filter');
  t.equal(settingName('net.ipv4/conf/IFNAME.arp_filter', 'eth0'), 'net/ipv4/conf/eth0/arp_filter');
  t.end();
});

t.test('a setting of tuning that is given twice is refused (B16)', async t => {
  const env = attachment('ADD', { CNI_NETNS: '/proc/self/ns/net', CNI_NETNS_OVERRIDE: '1' });
  const twice = '{"net.ipv4.conf.all.log_martians":"1","net.ipv4.conf.all.log_martians":"0"}';
  for (const key of ['sysctl', 'SysCtl']) {
    const config = `{"cniVersion":"1.0.0","name":"n","type":"tuning","${key}":${twice},"prevResult":{}}`;
    t.match((await invoke(tuning, env, config)).json, {
      code: 7,
      msg: 'duplicated sysctl keys are not allowed',
      details: 'sysctl.net.ipv4.conf.all.log_martians: it is there twice',
    });
  }
});

t.test('tags: fit into a comment of nftables, tell networks and attachments apart', t => {
  const tag = tagOf('net', 'c'.repeat(64), 'eth0');
  t.ok(tag.length <= 40);
  t.ok(tag.startsWith(networkTag('net')));
  const stale = staleTags('net', [{ containerID: 'a', ifname: 'eth0' }]);
  t.notOk(stale(tagOf('net', 'a', 'eth0')));
  t.ok(stale(tagOf('net', 'a', 'net1')));
  t.ok(stale(tagOf('net', 'b', 'eth0')));
  t.notOk(stale(tagOf('other', 'b', 'eth0')), 'another network');
  t.notOk(stale('a link of another program'));
  t.end();
});

t.test('digests are those of node:crypto, for every length around the ends of blocks', t => {
  const random = seeded(t, 11);
  const expected = (name: string, text: string) => createHash(name).update(text).digest('hex');
  const texts = ['', 'abc', 'net', 'ü\0𝄞', 'a'.repeat(5000)];
  for (let length = 1; length < 300; length++) {
    texts.push(String.fromCharCode(...Array.from({ length }, () => random.between(0, 0x7ff))));
  }
  t.strictSame(
    texts.filter(
      text => sha256(text) !== expected('sha256', text) || sha512(text) !== expected('sha512', text),
    ),
    [],
  );
  t.end();
});

t.test('frames on the socket: there and back, cut, bent', t => {
  const request = { plugin: 'bridge', stdin: '{"name":"ü"}', env: { CNI_ARGS: 'A=b;C=d', EMPTY: '' } };
  const bytes = encodeRequest(request);
  t.equal(requestLength(bytes), bytes.length);
  t.strictSame(parseRequest(bytes), request);
  for (let cut = 0; cut < bytes.length; cut++) {
    const part = bytes.subarray(0, cut);
    const length = requestLength(part);
    t.ok(length === undefined || length > cut, 'a part is waited for');
  }
  const response = { status: 1, stdout: 'ü', stderr: '' };
  t.strictSame(parseResponse(encodeResponse(response)), response);
  const random = seeded(t, 7);
  for (let i = 0; i < 2000; i++) {
    const bent = Buffer.from(bytes);
    bent[random.between(0, bent.length - 1)] = random.between(0, 255);
    try {
      if (requestLength(bent) === bent.length) parseRequest(bent);
    } catch (error) {
      if (!/CNI request/.test((error as Error).message)) throw error;
    }
  }
  t.end();
});
