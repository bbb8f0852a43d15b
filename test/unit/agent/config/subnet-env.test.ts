import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import {
  formatSubnetEnv,
  parseSubnetEnv,
  readSubnetEnv,
  writeSubnetEnv,
} from '../../../../src/agent/config/subnet-env.ts';
import { formatPrefix, parsePrefix } from '../../../../src/ip/prefix.ts';

const env = {
  network: parsePrefix('10.244.0.0/16'),
  subnet: parsePrefix('10.244.3.0/24'),
  network6: undefined,
  subnet6: undefined,
  mtu: 1450,
  ipMasq: true,
};

t.test('written as flannel writes it', async t => {
  t.equal(
    formatSubnetEnv(env),
    'FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=10.244.3.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n',
  );
  const dual = {
    ...env,
    network6: parsePrefix('fc00::/48'),
    subnet6: parsePrefix('fc00:0:0:5::/64'),
    ipMasq: false,
  };
  t.equal(
    formatSubnetEnv(dual),
    'FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=10.244.3.1/24\nFLANNEL_IPV6_NETWORK=fc00::/48\n' +
      'FLANNEL_IPV6_SUBNET=fc00:0:0:5::1/64\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=false\n',
  );
});

t.test('read back', async t => {
  const back = parseSubnetEnv(formatSubnetEnv(env));
  t.same(back, env);
  const odd = parseSubnetEnv(
    '# x\nFLANNEL_NETWORK="10.1.0.0/16"\nFLANNEL_SUBNET=nonsense\nFLANNEL_IPV6_SUBNET=10.1.0.1/24\nrubbish\n',
  );
  t.equal(formatPrefix(odd.network!), '10.1.0.0/16');
  t.equal(odd.subnet, undefined, 'a value that is no CIDR counts as absent');
  t.equal(odd.subnet6, undefined, 'and so does one of the other family');
  t.equal(odd.mtu, undefined);
  t.equal(odd.ipMasq, false);
});

t.test('replaced atomically, mode 0644, nothing left over', async t => {
  const directory = mkdtempSync(join(tmpdir(), 'rs-env-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  const path = join(directory, 'deep', 'subnet.env');
  t.equal(await readSubnetEnv(path), undefined);
  const umask = process.umask(0o077);
  t.teardown(() => process.umask(umask));
  await writeSubnetEnv(path, env);
  await writeSubnetEnv(path, { ...env, mtu: 1400 });
  t.equal(statSync(path).mode & 0o777, 0o644);
  t.match(readFileSync(path, 'utf8'), /FLANNEL_MTU=1400/);
  t.same(readdirSync(join(directory, 'deep')), ['subnet.env']);
  t.equal((await readSubnetEnv(path))!.mtu, 1400);
});
