import { accessSync, constants, existsSync } from 'node:fs';
import { attempt } from '../../bench/lab/command.ts';

const SEARCH = [...(process.env.PATH ?? '').split(':'), '/usr/sbin', '/sbin', '/usr/local/sbin'];

function hasCommand(name: string): boolean {
  return SEARCH.some(folder => {
    try {
      accessSync(`${folder}/${name}`, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** What is no command and no file, and how one sees it. */
const capabilities: Record<string, () => boolean> = {
  root: () => process.getuid?.() === 0,
  tun: () => existsSync('/dev/net/tun'),
  netns: () => attempt(['unshare', '--net', 'true']).code === 0,
  vxlan: () =>
    attempt(['unshare', '--net', 'ip', 'link', 'add', 'probe', 'type', 'vxlan', 'id', '1', 'dstport', '8472'])
      .code === 0,
};

const known = new Map<string, boolean>();

function has(capability: string): boolean {
  let there = known.get(capability);
  if (there === undefined) {
    const probe = capabilities[capability];
    if (probe) there = probe();
    else there = capability.startsWith('/') ? existsSync(capability) : hasCommand(capability);
    known.set(capability, there);
  }
  return there;
}

/**
 * For `{ skip: need('netns', 'vxlan', 'tcpdump') }`: false when all is there, else the reason.
 * @param wanted `root`, `tun`, `netns`, `vxlan`, the name of a command, or the path of a file
 */
export function need(...wanted: string[]): string | false {
  const missing = wanted.filter(capability => !has(capability));
  return missing.length > 0 && `missing here: ${missing.join(', ')}`;
}
