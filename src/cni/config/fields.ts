import { described, type Fields, flag, integer, oneOf, text, withDefault } from '../../base/schema.ts';
import { BACKENDS } from '../rules/backend.ts';

/** Largest MTU that the kernel takes for an Ethernet device, bytes. */
const MTU_MAX = 65535;

/** `mtu`: 0 and absent are the kernel's default. */
export const mtuField = withDefault(integer(0, MTU_MAX, 'MTU of the interface; 0: the default', 'bytes'), 0);

/** `mtu` of a device on a device of the node: what is outside of the range is refused when its MTU is known. */
export const mtuOnMasterField = withDefault(
  integer(-MTU_MAX, MTU_MAX, 'MTU of the interface, up to that of the device beneath; 0: the same', 'bytes'),
  0,
);

/** A MAC address; '' is the same as absent. */
export const macField = text(
  'a MAC address',
  'MAC address of the interface',
  /^$|^[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}$/,
);

export const ipMasqField = withDefault(flag('masquerade what the pod sends out of its subnet'), false);

/** '' as in the reference configurations is the default. */
export const backendField = withDefault(
  oneOf(['', ...BACKENDS], 'where rules are put; default: nftables'),
  '',
);

/** The documentation of `fields` as keys of an object with this path. */
export const under = (path: string, fields: Fields): Fields =>
  Object.fromEntries(Object.entries(fields).map(([key, field]) => [`${path}.${key}`, field]));

/** `ipam.type`, for the documentation of plugins that call an address plugin. */
export const ipamDocs: Fields = {
  'ipam.type': text('the name of a plugin', 'address plugin; its own keys are in ipam as well'),
};

/** `dns`, for the documentation. */
export const dnsDocs: Fields = {
  dns: text('an object', "nameservers, domain, search and options, for the result's `dns`"),
};

/** Where the runtime requests a MAC address (`requestedMac`), for the documentation. */
export const macDocs: Fields = {
  'runtimeConfig.mac': described('MAC address of capability mac', macField),
  'args.cni.mac': described('MAC address, if the runtime requests none', macField),
  'CNI_ARGS MAC': described('MAC address, if neither of the two has one', macField),
};
