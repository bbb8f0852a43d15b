import { readdirSync, statSync } from 'node:fs';
import { resolve } from 'node:path';
import { type Shape, text } from '../../base/schema.ts';
import { passthroughObject, readIgnoringUnknown } from '../config/ignore-unknown.ts';
import { parseConfiguration } from '../config/keys.ts';
import { DEFAULT_DATA_DIR, directoryFields } from '../ipam/host-local/config.ts';
import { cwdOf } from '../skel/environment.ts';
import { bootId, type RecordedCall } from './recorded.ts';

const ipam = passthroughObject(directoryFields, 'IPAM');
const configFields = {
  name: text('a network name', 'network of the call'),
  ipam,
  delegate: passthroughObject({ ipam }, 'configuration of a delegate'),
};

/** What is needed of the configuration of a recorded call; nothing where it is malformed: no plugin works on it then. */
function configOf(call: RecordedCall): Partial<Shape<typeof configFields>> {
  try {
    return readIgnoringUnknown(configFields, parseConfiguration(call.request.stdin, 'configuration'), '');
  } catch {
    return {};
  }
}

/** Name of the network of a recorded call; '' where its configuration names none. */
export function networkOf(call: RecordedCall): string {
  return configOf(call).name ?? '';
}

/** A recorded call, for log lines. */
export function describeCall(call: RecordedCall): string {
  const { command, request, containerId, ifname } = call;
  const who = command === 'DEL' ? ` for ${ifname} of container ${containerId}` : '';
  return `${command} of ${request.plugin}${who} in network "${networkOf(call)}"`;
}

/**
 * True for a GC whose list of valid attachments may be out of date. Through us no ADD comes between a recorded GC and its
 * completion, but other plugins may have been in use in the meantime: an address of the network that was reserved after
 * the call shows that. The attachments of a GC of an earlier boot are all gone, and the runtime collects again.
 */
export function isOvertaken(call: RecordedCall, all: readonly RecordedCall[]): boolean {
  if (call.boot === '' || call.boot !== bootId()) return true;
  const network = networkOf(call);
  const siblings = all.filter(one => networkOf(one) === network);
  const directories = new Set(siblings.flatMap(dataDirsOf));
  return [...directories].some(directory => hasReservationSince(`${directory}/${network}`, call.time));
}

function dataDirsOf(call: RecordedCall): string[] {
  const config = configOf(call);
  const named = [config.ipam?.dataDir, config.delegate?.ipam?.dataDir];
  return [DEFAULT_DATA_DIR, ...named.flatMap(dir => (dir ? resolve(cwdOf(call.request.env), dir) : []))];
}

function hasReservationSince(directory: string, time: bigint): boolean {
  try {
    return readdirSync(directory)
      .filter(name => /^[0-9a-fA-F.:_]+$/.test(name))
      .some(name => {
        const found = statSync(`${directory}/${name}`, { bigint: true, throwIfNoEntry: false });
        return found !== undefined && found.mtimeNs > time;
      });
  } catch {
    return false;
  }
}
