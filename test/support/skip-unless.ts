import { existsSync } from 'node:fs';
import { attempt } from '../../bench/lab/command.ts';
import { findProgram } from '../../bench/lab/programs.ts';
import { staticBusybox } from './qemu/busybox.ts';

/** Capabilities other than commands and files, and how to detect them. */
const capabilities: Record<string, () => boolean> = {
  root: () => process.getuid?.() === 0,
  tun: () => existsSync('/dev/net/tun'),
  netns: () => attempt(['unshare', '--net', 'true']).code === 0,
  'static busybox': () => staticBusybox() !== undefined,
  vxlan: () =>
    attempt(['unshare', '--net', 'ip', 'link', 'add', 'probe', 'type', 'vxlan', 'id', '1', 'dstport', '8472'])
      .code === 0,
};

/** Names that `skipUnless` takes besides commands and files. */
export const CAPABILITIES: readonly string[] = Object.keys(capabilities);

const known = new Map<string, boolean>();

function has(capability: string): boolean {
  let there = known.get(capability);
  if (there === undefined) {
    const probe = capabilities[capability];
    if (probe) there = probe();
    else there = capability.startsWith('/') ? existsSync(capability) : findProgram(capability) !== undefined;
    known.set(capability, there);
  }
  return there;
}

/**
 * For `{ skip: skipUnless('netns', 'vxlan', 'tcpdump') }`: false when all is there, else the reason.
 * @param wanted `root`, `tun`, `netns`, `vxlan`, `static busybox`, the name of a command, or the path of a file
 */
export function skipUnless(...wanted: string[]): string | false {
  const missing = wanted.filter(capability => !has(capability));
  return missing.length > 0 && `missing here: ${missing.join(', ')}`;
}
