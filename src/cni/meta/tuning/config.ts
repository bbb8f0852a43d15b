import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { flag, integer, type Shape, text } from '../../../base/schema.ts';
import { macField } from '../../config/fields.ts';
import { anyObject, readIgnoringUnknown } from '../../config/ignore-unknown.ts';
import { cniArgsOf, requestedMac } from '../../config/runtime.ts';
import { given } from '../../result/types.ts';
import { CniError, CODE, refuse } from '../../skel/errors.ts';
import type { Call } from '../../skel/plugin.ts';

/** Lines of regular expressions; when the file is there, only settings that match one may be changed. */
const ALLOW_LIST = '/etc/cni/tuning/allowlist.conf';

const DEFAULT_DATA_DIR = '/run/cni/tuning';

/** Attributes of the pod's interface, in configurations and in what is saved of it. */
export const linkFields = {
  mac: macField,
  mtu: integer(0, 65535, 'MTU', 'bytes'),
  promisc: flag('take every frame'),
  allmulti: flag('take every multicast frame'),
  txQLen: integer(0, 0xffffffff, 'length of the transmit queue', 'packets'),
};

const dataDirFields = {
  dataDir: text('a path', `directory of the former values, by default ${DEFAULT_DATA_DIR}`),
};

const sysctlFields = {
  sysctl: anyObject('kernel settings below net, IFNAME standing for the interface: name to value'),
};

/** A kernel setting; its name is a path below /proc/sys. */
interface Setting {
  name: string;
  value: string;
}

/** Attributes of the pod's interface; what is absent is left as it is. */
export type LinkTuning = Partial<Shape<typeof linkFields>>;

/** Later sources win: the configuration, CNI_ARGS, `args.cni`, the runtime. */
function readLinkTuning(call: Call): LinkTuning {
  const configured = readIgnoringUnknown(linkFields, call.config, '');
  const ofCni = readIgnoringUnknown(linkFields, cniArgsOf(call.config), 'args.cni');
  const { mtu, promisc, allmulti, txQLen } = { ...configured, ...given(ofCni) };
  const mac = (requestedMac(call) || configured.mac)?.toLowerCase();
  // 0 and false are the defaults and change nothing, as in the reference plugin.
  return given({
    mac,
    mtu: mtu || undefined,
    promisc: promisc || undefined,
    allmulti: allmulti || undefined,
    txQLen,
  });
}

/** The name of a setting with slashes; a name that has slashes keeps its dots, as sysctl(8) does. */
export function settingName(key: string, ifname: string): string {
  const path = key.includes('/') ? key : key.replaceAll('.', '/');
  return path.replaceAll('IFNAME', ifname);
}

function readSettings(call: Call, raw: Record<string, unknown>): Setting[] {
  const seen = new Map<string, string>();
  for (const [key, value] of Object.entries(raw)) {
    const where = `sysctl.${key}`;
    if (typeof value !== 'string') refuse(where, `${JSON.stringify(value)} is not a text`);
    const name = settingName(key, call.ifname);
    const parts = name.split('/');
    if (
      parts[0] !== 'net' ||
      parts.length < 2 ||
      parts.some(part => part === '' || part === '.' || part === '..')
    ) {
      refuse(where, 'invalid net sysctl key', 'only names below "net." may be set');
    }
    if (seen.has(name)) refuse(where, `duplicated sysctl key: it is ${seen.get(name)} too`);
    seen.set(name, key);
  }
  return [...seen].map(([name, key]) => ({ name, value: raw[key] as string }));
}

/** @throws CniError 2 for a setting that the node's list does not allow */
export function checkAllowed(settings: Setting[], file = ALLOW_LIST): void {
  let lines: string[];
  try {
    lines = readFileSync(file, 'utf8')
      .split('\n')
      .filter(line => line.trim() !== '');
  } catch {
    return;
  }
  for (const { name, value } of settings) {
    const dotted = name.replaceAll('/', '.');
    if (lines.some(line => new RegExp(line).test(dotted))) continue;
    throw new CniError(
      CODE.UNSUPPORTED_FIELD,
      `sysctl: ${dotted}=${value} is not allowed`,
      `${file} allows ${lines.join(', ')}`,
    );
  }
}

export type TuningConfig = ReturnType<typeof readConfig>;

/** Directory of the former values, which is all that DEL and GC need. @throws RipstopError ECONFIG */
export function readDataDir(call: Call): string {
  const { dataDir } = readIgnoringUnknown(dataDirFields, call.config, '');
  return resolve(call.cwd, dataDir || DEFAULT_DATA_DIR);
}

/** @throws CniError 7, 4, 2; RipstopError ECONFIG */
export function readConfig(call: Call) {
  const { sysctl } = readIgnoringUnknown(sysctlFields, call.config, '');
  const settings = readSettings(call, sysctl ?? {});
  return { link: readLinkTuning(call), settings, dataDir: readDataDir(call) };
}
