import {
  deployKernelVxlan,
  type KernelVxlanOptions,
  noKernelVxlan,
} from '../../src/lab/deploy/kernel-vxlan.ts';
import type { Contender } from './contender.ts';

/** The kernel's own vxlan device. */
export function kernelVxlan(options: KernelVxlanOptions = {}): Contender {
  return {
    label: 'kernel VXLAN',
    unavailable: noKernelVxlan,
    deploy: async (lab, request) => deployKernelVxlan(lab, request, options),
  };
}
