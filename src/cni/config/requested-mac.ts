import type { Call } from '../skel/plugin.ts';
import { readCniArgs } from './cni-args.ts';
import { macField } from './fields.ts';
import { readLoose } from './ignore-unknown.ts';
import { cniArgsOf, runtimeConfig } from './network.ts';

/** MAC that the pod is to have: capability `mac`, then `args.cni.mac`, then CNI_ARGS. @throws CniError 4, ECONFIG */
export function readWantedMac(call: Call): string | undefined {
  const ofArgs = readCniArgs(call.args, ['MAC', 'IP', 'GATEWAY']).get('MAC');
  const { mac: ofRuntime } = readLoose({ mac: macField }, runtimeConfig(call), 'runtimeConfig');
  const { mac: ofCni } = readLoose({ mac: macField }, cniArgsOf(call.config), 'args.cni');
  return ofRuntime || ofCni || (ofArgs && macField.read(ofArgs, 'CNI_ARGS MAC')) || undefined;
}
