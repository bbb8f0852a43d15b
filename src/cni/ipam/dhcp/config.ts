import { resolve } from 'node:path';
import { anyValue, flag, integer, listOf, text, withDefault } from '../../../base/schema.ts';
import { passthroughObject, readIgnoringUnknown } from '../../config/ignore-unknown.ts';
import { readCniArgs } from '../../config/runtime.ts';
import { refuse } from '../../skel/errors.ts';
import type { Call } from '../../skel/plugin.ts';
import { OPTION } from './message.ts';

export const DEFAULT_DAEMON_SOCKET = '/run/cni/dhcp.sock';

/** Names of options in configurations; others are given by number. */
const OPTION_NAMES: Readonly<Record<string, number>> = {
  'dhcp-client-identifier': OPTION.CLIENT_ID,
  'subnet-mask': OPTION.SUBNET_MASK,
  routers: OPTION.ROUTER,
  'host-name': OPTION.HOST_NAME,
  'user-class': OPTION.USER_CLASS,
  'vendor-class-identifier': OPTION.VENDOR_CLASS,
};

/** The options that are requested unless an entry of `request` has `skipDefault`. */
const DEFAULT_REQUEST = [
  OPTION.SUBNET_MASK,
  OPTION.ROUTER,
  OPTION.DNS,
  OPTION.DOMAIN,
  OPTION.STATIC_ROUTES,
  OPTION.T1_SECONDS,
  OPTION.T2_SECONDS,
  OPTION.DOMAIN_SEARCH,
  OPTION.CLASSLESS_ROUTES,
];

const provideFields = {
  option: text('an option', 'name or number', /./),
  value: text('a text', 'value'),
  fromArg: text('a key', 'key of CNI_ARGS that has the value'),
};
const requestFields = {
  option: text('an option', 'name or number'),
  skipDefault: withDefault(flag('ask for nothing but what is listed'), false),
};

const socketFields = {
  daemonSocketPath: text('a path', `socket of the daemon, by default ${DEFAULT_DAEMON_SOCKET}`),
};

export const dhcpFields = {
  ...socketFields,
  provide: listOf(passthroughObject(provideFields, 'an option'), 'options that are sent'),
  request: listOf(passthroughObject(requestFields, 'an option'), 'options that are asked for'),
  priority: withDefault(integer(0, 0x7fffffff, 'metric of the routes'), 0),
  routes: anyValue('not used'),
};

function optionCode(option: string | undefined, where: string): number {
  const named = Object.entries(OPTION_NAMES).find(([name]) => name === option);
  if (named) return named[1];
  const number = Number(option);
  if (option !== undefined && /^\d+$/.test(option) && number >= 1 && number <= 254) return number;
  refuse(
    where,
    `"${option ?? ''}" is not an option`,
    `it takes 1..254 or ${Object.keys(OPTION_NAMES).join(', ')}`,
  );
}

/** A user class is a list of texts, each with its length (RFC 3004). */
function optionValue(code: number, value: string): string {
  const bytes = Buffer.from(value);
  return (code === OPTION.USER_CLASS ? Buffer.concat([Buffer.from([bytes.length]), bytes]) : bytes).toString(
    'hex',
  );
}

/** Socket of the daemon, which is all that DEL, CHECK and GC need. @throws RipstopError ECONFIG */
export function readSocket(call: Call): string {
  const { daemonSocketPath } = readIgnoringUnknown(socketFields, call.config.ipam, 'ipam');
  return resolve(call.cwd, daemonSocketPath || DEFAULT_DAEMON_SOCKET);
}

/** @throws CniError 7, 4; RipstopError ECONFIG */
export function readConfig(call: Call) {
  const keys = readIgnoringUnknown(dhcpFields, call.config.ipam, 'ipam');
  const args = keys.provide?.some(one => one.fromArg) ? allArgs(call.args) : new Map<string, string>();
  // As in the reference plugin an option without a value is left out: a runtime may not know the key.
  const provide = (keys.provide ?? []).flatMap((one, index) => {
    const code = optionCode(one.option, `ipam.provide[${index}].option`);
    const value = (one.fromArg && args.get(one.fromArg)) || one.value;
    return value ? [{ code, hex: optionValue(code, value) }] : [];
  });
  const entries = keys.request ?? [];
  const listed = entries.flatMap((one, index) =>
    one.option ? [optionCode(one.option, `ipam.request[${index}].option`)] : [],
  );
  const defaults = entries.some(one => one.skipDefault) ? [] : DEFAULT_REQUEST;
  return {
    socket: readSocket(call),
    provide,
    request: [...new Set([...defaults, ...listed])],
    priority: keys.priority,
  };
}

/** Every pair of CNI_ARGS, whatever its key: `fromArg` names any. */
function allArgs(args: string): Map<string, string> {
  return readCniArgs(`${args};IgnoreUnknown=true`, []);
}
