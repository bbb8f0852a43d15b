import { resolve } from 'node:path';
import { hasCode, messageOf } from '../../../base/errors.ts';
import { readRegularFile } from '../../../base/files/regular-file.ts';
import { flag, integer, type Shape, text } from '../../../base/schema.ts';
import { goPattern } from '../../../base/text/go-pattern.ts';
import { macField } from '../../config/fields.ts';
import { anyObject, readIgnoringUnknown } from '../../config/ignore-unknown.ts';
import { repeatedKeys } from '../../config/keys.ts';
import { cniArgsOf, requestedMac } from '../../config/runtime.ts';
import { given } from '../../result/types.ts';
import { CniError, CODE, refuse } from '../../skel/errors.ts';
import type { Call } from '../../skel/plugin.ts';

/** Lines of regular expressions in Go's syntax; when the file is there, only settings that match one may be changed. */
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

/** For the documentation. */
export const tuningKeys = { ...sysctlFields, ...linkFields, ...dataDirFields };

/** A kernel setting; its name is a path below /proc/sys. */
interface Setting {
  name: string;
  value: string;
  /** The key as it was written. */
  key: string;
}

/** Attributes of the pod's interface; what is absent is left as it is. */
export type LinkTuning = Partial<Shape<typeof linkFields>>;

/** Later sources win: the configuration, CNI_ARGS, the runtime, `args.cni`. */
function readLinkTuning(call: Call): LinkTuning {
  const configured = readIgnoringUnknown(linkFields, call.config, '');
  const ofCni = readIgnoringUnknown(linkFields, cniArgsOf(call.config), 'args.cni');
  const { mtu, promisc, allmulti, txQLen } = { ...configured, ...given(ofCni) };
  const mac = (ofCni.mac || requestedMac(call) || configured.mac)?.toLowerCase();
  // As in the reference plugin an MTU of 0 and `promisc: false` change nothing.
  return given({ mac, mtu: mtu || undefined, promisc: promisc || undefined, allmulti, txQLen });
}

/** The name of a setting with slashes; a name that begins with slashes keeps its dots, as in sysctl(8). */
export function settingName(key: string, ifname: string): string {
  const [separator] = /[./]/.exec(key) ?? [];
  const path = separator === '/' ? key : key.replaceAll('.', '/');
  return path.replaceAll('IFNAME', ifname);
}

function readSettings(ifname: string, raw: Record<string, unknown>, source: string): Map<string, Setting> {
  const settings = new Map<string, Setting>();
  for (const [key, value] of Object.entries(raw)) {
    const where = `${source}.${key}`;
    if (typeof value !== 'string') refuse(where, `${JSON.stringify(value)} is not a text`);
    const name = settingName(key, ifname);
    const parts = name.split('/');
    if (
      parts[0] !== 'net' ||
      parts.length < 2 ||
      parts.some(part => part === '' || part === '.' || part === '..')
    ) {
      refuse(where, 'invalid net sysctl key', 'only names below "net." may be set');
    }
    const other = settings.get(name);
    if (other) refuseDuplicate(where, `it is ${other.key} too`);
    settings.set(name, { name, value, key });
  }
  return settings;
}

function refuseDuplicate(where: string, why: string): never {
  throw new CniError(CODE.INVALID_CONFIG, 'duplicated sysctl keys are not allowed', `${where}: ${why}`);
}

/** The settings of the configuration; those of `args.cni` replace them one by one. */
function settingsOf(call: Call): Setting[] {
  // GC and STATUS name no interface.
  const ifname = call.ifname || 'IFNAME';
  const configured = readIgnoringUnknown(sysctlFields, call.config, '').sysctl ?? {};
  const ofCni = readIgnoringUnknown(sysctlFields, cniArgsOf(call.config), 'args.cni').sysctl ?? {};
  const [twice] = repeatedKeys(configured);
  if (twice !== undefined) refuseDuplicate(`sysctl.${twice}`, 'it is there twice');
  const settings = readSettings(ifname, configured, 'sysctl');
  for (const [name, setting] of readSettings(ifname, ofCni, 'args.cni.sysctl')) settings.set(name, setting);
  return [...settings.values()];
}

/**
 * Settings are matched as they are written in the configuration, with IFNAME, as by the reference plugin.
 * @throws CniError 2 for a setting that the node's list does not allow, 5 for a list that cannot be read; RipstopError ECONFIG
 */
export function checkAllowed(settings: readonly Setting[], file = ALLOW_LIST): void {
  const lines = readAllowList(file);
  const patterns = lines?.map(line => goPattern(line, file));
  const refused = patterns && settings.find(({ key }) => !patterns.some(matches => matches(key)));
  if (!refused) return;
  throw new CniError(
    CODE.UNSUPPORTED_FIELD,
    `Sysctl ${refused.key} is not allowed. Only the following sysctls are allowed: [${lines?.join(' ')}]`,
    `the list is ${file}`,
  );
}

/** Undefined where there is no list. */
function readAllowList(file: string): string[] | undefined {
  try {
    return readRegularFile(file)
      .split('\n')
      .map(line => line.trim())
      .filter(line => line !== '');
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined;
    throw new CniError(CODE.IO_FAILURE, `list of allowed settings: ${messageOf(error)}`);
  }
}

export type TuningConfig = ReturnType<typeof readConfig>;

/** Directory of the former values, which is all that DEL and GC need. @throws RipstopError ECONFIG */
export function readDataDir(call: Call): string {
  const { dataDir } = readIgnoringUnknown(dataDirFields, call.config, '');
  return resolve(call.cwd, dataDir || DEFAULT_DATA_DIR);
}

/** @throws CniError 7, 4; RipstopError ECONFIG */
export function readConfig(call: Call) {
  return { link: readLinkTuning(call), settings: settingsOf(call), dataDir: readDataDir(call) };
}
