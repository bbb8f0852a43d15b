import { join } from 'node:path';
import { fail } from '../../base/schema.ts';

/**
 * State directory and subnet.env of an instance, where the flags do not give them. CNI plugins look for flannel's path;
 * that of an instance must be named in the plugin's configuration.
 * @param instance part of the names of iptables chains, which have at most 28 characters
 * @throws RipstopError ECONFIG
 */
export function pathsOf(
  instance: string,
  givenStateDir = '',
  givenSubnetFile = '',
): { stateDir: string; subnetFile: string } {
  if (!/^([a-z][a-z0-9]{0,7})?$/.test(instance))
    fail('--instance', `${JSON.stringify(instance)}: must be a letter and up to seven of a-z and 0-9`);
  const stateDir = givenStateDir || (instance === '' ? '/run/ripstop' : `/run/ripstop-${instance}`);
  const ownFile = instance === '' ? '/run/flannel/subnet.env' : join(stateDir, 'subnet.env');
  return { stateDir, subnetFile: givenSubnetFile || ownFile };
}
