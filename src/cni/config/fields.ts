import { flag, integer, oneOf, text, withDefault } from '../../base/schema.ts';
import { BACKENDS } from '../rules/backend.ts';

/** Largest MTU that the kernel takes for an Ethernet device, bytes. */
const MTU_MAX = 65535;

/** `mtu`: 0 and absent are the kernel's default. */
export const mtuField = withDefault(integer(0, MTU_MAX, 'MTU of the interface; 0: the default', 'bytes'), 0);

/** A MAC address; '' is the same as absent. */
export const macField = text(
  'a MAC address',
  'MAC address of the interface',
  /^$|^[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}$/,
);

export const ipMasqField = withDefault(flag('masquerade what the pod sends out of its subnet'), false);

/** '' as in the reference configurations is the default. */
export const backendField = withDefault(oneOf(['', ...BACKENDS], 'where rules are put'), '');
