import { readdirSync, statSync } from 'node:fs';
import { DEFAULT_DATA_DIR } from '../ipam/host-local/config.ts';
import { bootId, type RecordedCall } from './recorded.ts';

type Json = Record<string, unknown>;

function configOf(call: RecordedCall): Json {
  try {
    const config: unknown = JSON.parse(call.request.stdin);
    return typeof config === 'object' && config !== null ? (config as Json) : {};
  } catch {
    return {};
  }
}

/** Name of the network of a recorded call; '' where its configuration names none. */
export function networkOf(call: RecordedCall): string {
  const { name } = configOf(call);
  return typeof name === 'string' ? name : '';
}

/** A recorded call for a person. */
export function describeCall(call: RecordedCall): string {
  const { command, request, containerId, ifname } = call;
  const who = command === 'DEL' ? ` for ${ifname} of container ${containerId}` : '';
  return `${command} of ${request.plugin}${who} in network "${networkOf(call)}"`;
}

/**
 * True for a GC whose list of living attachments may be out of date. Through us no ADD comes between a recorded GC and its
 * completion, but other plugins may have been in use in the meantime: an address of the network that was reserved after
 * the call tells of them. A GC of a former boot speaks of attachments that are all gone, and the runtime collects again.
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
  const dirs = [config, config.delegate as Json | undefined].map(
    one => (one?.ipam as Json | undefined)?.dataDir,
  );
  return [DEFAULT_DATA_DIR, ...dirs.filter(dir => typeof dir === 'string' && dir !== '').map(String)];
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
