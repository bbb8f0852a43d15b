import t from 'tap';
import { parseNetConf } from '../../../../src/agent/config/net-conf.ts';
import { parseSubnetEnv } from '../../../../src/agent/config/subnet-env.ts';
import { formatAttributes, formatKey, parseAttributes, parseKey } from '../../../../src/agent/lease/lease.ts';
import { annotationNames, readNode, toLease } from '../../../../src/agent/store/kube/node.ts';
import { RipstopError } from '../../../../src/base/errors.ts';

/*
 * What other nodes write is not trusted: reading any content of a store gives a value or a RipstopError,
 * never another exception.
 */

const ROUNDS = 4000;
const seed = Number(process.env.SEED ?? 20261124);

function generator(start: number): (bound: number) => number {
  let state = start | 1;
  return bound => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % bound;
  };
}

/** Changes, cuts, doubles or replaces some characters. */
function mutate(text: string, random: (bound: number) => number): string {
  let result = text;
  for (let times = 1 + random(3); times > 0; times--) {
    const at = random(result.length + 1);
    const alphabet = '{}[]",:0123456789abcdef.-/& \u0000\u00e9nulltrue';
    const piece = Array.from({ length: random(4) }, () => alphabet[random(alphabet.length)]).join('');
    result = result.slice(0, at) + piece + result.slice(at + random(4));
  }
  return result;
}

function foreign(work: () => unknown): unknown {
  try {
    work();
    return undefined;
  } catch (error) {
    return error instanceof RipstopError ? undefined : error;
  }
}

const names = annotationNames('flannel.alpha.coreos.com');
const VALUE =
  '{"PublicIP":"192.0.2.1","PublicIPv6":"fd00::1","BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"0a:00:00:00:00:01"}}';
const CONFIG =
  '{"Network":"10.244.0.0/16","EnableIPv6":true,"IPv6Network":"fc00::/48","SubnetLen":24,"Backend":{"Type":"vxlan","VNI":1,"Port":8472}}';
const KEY = '10.5.34.0-24&fc00:0:0:5::-64';

t.test(`reader of the store, any content, gives a value or a RipstopError; SEED=${seed}`, async t => {
  const random = generator(seed);
  const broken: unknown[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const key = mutate(KEY, random);
    const value = mutate(VALUE, random);
    const config = mutate(CONFIG, random);
    const node = {
      metadata: {
        name: 'n',
        annotations: {
          [names.managed]: 'true',
          [names.publicIp]: mutate('192.0.2.1', random),
          [names.backendData]: mutate('{"VtepMAC":"0a:00:00:00:00:01"}', random),
        },
      },
      spec: { podCIDR: mutate('10.244.1.0/24', random) },
    };
    for (const work of [
      () => parseKey(key),
      () => parseAttributes(value, 'x'),
      () => parseNetConf(config, 'x', { tolerateUnknown: true }),
      () =>
        parseSubnetEnv(
          mutate('FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=10.244.1.1/24\nFLANNEL_MTU=1450\n', random),
        ),
      () => toLease(readNode(node, names), names),
    ]) {
      const error = foreign(work);
      if (error) broken.push({ round, key, value, config, error });
    }
  }
  t.same(broken, []);
});

t.test('what is read is written back the same', async t => {
  const random = generator(seed + 1);
  let read = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const subnets = parseKey(mutate(KEY, random));
    if (subnets) {
      read++;
      t.ok(parseKey(formatKey(subnets)), formatKey(subnets)) || t.bailout();
    }
    try {
      const attributes = parseAttributes(mutate(VALUE, random), 'x');
      read++;
      if (JSON.stringify(parseAttributes(formatAttributes(attributes), 'x')) !== JSON.stringify(attributes))
        t.fail(formatAttributes(attributes));
    } catch (error) {
      if (!(error instanceof RipstopError)) throw error;
    }
  }
  t.ok(read > 100, `${read} of ${2 * ROUNDS} were still readable`);
});
