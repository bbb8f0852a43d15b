import { closeSync, constants, fstatSync, openSync, readdirSync, readFileSync } from 'node:fs';
import { hasCode } from '../../base/errors.ts';
import type { NamespaceProbe } from '../skel/namespace.ts';
import { type CniRequest, parseRequest, REQUEST_MAX, requestLength } from './protocol.ts';

/*
 * Calls that the executables recorded while no agent answered (record.c): one file per call, `DEL-<hash>.call`. The names of
 * equal calls are equal, so a repeated one replaces its record.
 */

/** Not on a tmpfs: after a reboot the addresses that a DEL frees are still reserved on disk. */
export const DEFAULT_CALLS_DIR = '/var/lib/cni/ripstop/calls';

const SUFFIX = '.call';
const BOOT_ID = '/proc/sys/kernel/random/boot_id';

export interface RecordedCall {
  /** Path of the record. */
  file: string;
  /** Inode of the record, which distinguishes it from a later record of the same name. */
  inode: bigint;
  request: CniRequest;
  command: 'DEL' | 'GC';
  containerId: string;
  ifname: string;
  /** When it was recorded, ns since 1970. */
  time: bigint;
  /** Boot in which it was recorded; '' where that was not known. */
  boot: string;
}

/** Files of the records, in no order; none where the directory is absent. @throws the error of a directory that cannot be read */
export function listRecords(directory: string): string[] {
  try {
    return readdirSync(directory)
      .filter(name => name.endsWith(SUFFIX))
      .map(name => `${directory}/${name}`);
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return [];
    throw error;
  }
}

/** Reads a record. @returns undefined when it is gone @throws Error when it is no record */
export function readRecord(file: string): RecordedCall | undefined {
  let fd: number;
  try {
    // Not blocking: the file may be a FIFO.
    fd = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW);
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined;
    throw error;
  }
  try {
    const found = fstatSync(fd, { bigint: true });
    if (!found.isFile()) throw new Error('it is not a regular file');
    if (found.size > REQUEST_MAX) throw new Error(`it has ${found.size} bytes, more than ${REQUEST_MAX}`);
    return { file, inode: found.ino, ...parseRecord(readFileSync(fd)) };
  } finally {
    closeSync(fd);
  }
}

function parseRecord(bytes: Buffer): Omit<RecordedCall, 'file' | 'inode'> {
  if (requestLength(bytes) !== bytes.length) throw new Error('its length is wrong');
  const request = parseRequest(bytes);
  const { RIPSTOP_TIME: time = '', RIPSTOP_BOOT: boot = '', CNI_COMMAND: command } = request.env;
  if (command !== 'DEL' && command !== 'GC') throw new Error(`its command is "${command}", not DEL or GC`);
  if (!/^\d{1,20}$/.test(time)) throw new Error(`its time "${time}" is not a number`);
  const { CNI_CONTAINERID: containerId = '', CNI_IFNAME: ifname = '' } = request.env;
  return { request, command, containerId, ifname, time: BigInt(time), boot };
}

/** Id of this boot; '' if it cannot be read. */
export function bootId(): string {
  try {
    return readFileSync(BOOT_ID, 'latin1').trim();
  } catch {
    return '';
  }
}

/**
 * The call as it is to be run now. Its namespace may have ended, and the path may belong to another container, so the path is
 * removed unless it leads to the same namespace. Device and inode numbers are reused, so the inode's change time is compared
 * too. A namespace without a mount gets a new time on each access and is removed.
 */
export function requestNow(call: RecordedCall, namespaces: NamespaceProbe, boot = bootId()): CniRequest {
  const { RIPSTOP_TIME: _time, RIPSTOP_BOOT: _boot, RIPSTOP_NETNS: was, ...env } = call.request.env;
  const now = env.CNI_NETNS ? namespaces.identify(env.CNI_NETNS) : undefined;
  const isSame =
    boot !== '' &&
    boot === call.boot &&
    now !== undefined &&
    was === `${now.device}:${now.inode}:${now.born}`;
  return { ...call.request, env: isSame ? env : { ...env, CNI_NETNS: '' } };
}
