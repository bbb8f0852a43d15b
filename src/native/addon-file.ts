import { closeSync, existsSync, openSync, readSync } from 'node:fs';

const PT_INTERP = 3;

/** The loader that an ELF program of 64 bits names (elf(5)); empty for any other file. */
function interpreter(program: string): string {
  const fd = openSync(program, 'r');
  try {
    const bytes = (position: number, length: number) => {
      const buffer = Buffer.alloc(length);
      return buffer.subarray(0, readSync(fd, buffer, 0, length, position));
    };
    const head = bytes(0, 64);
    if (head.length < 64 || head.toString('latin1', 0, 6) !== '\x7fELF\x02\x01') return '';
    const [size, count] = [head.readUInt16LE(54), head.readUInt16LE(56)];
    const table = bytes(Number(head.readBigUInt64LE(32)), size * count);
    for (let at = 0; at + 56 <= table.length; at += size) {
      if (table.readUInt32LE(at) !== PT_INTERP) continue;
      const length = Math.min(Number(table.readBigUInt64LE(at + 32)), 4096);
      return bytes(Number(table.readBigUInt64LE(at + 8)), length).toString('latin1');
    }
    return '';
  } finally {
    closeSync(fd);
  }
}

/**
 * The C library of this Node: that of the loader that its executable names or is, since a system can have both. Node's
 * own report has it as well, but takes tens of milliseconds, which each start of a CNI plugin would pay.
 */
function ownLibc(): 'glibc' | 'musl' {
  const { execPath } = process;
  return `${execPath} ${interpreter(execPath)}`.includes('/ld-musl-') ? 'musl' : 'glibc';
}

/** File of the addon that was compiled for this platform, in the layout of node-gyp-build. */
export function prebuiltAddon(root: string): string {
  return `${root}prebuilds/${process.platform}-${process.arch}/ripstop.${ownLibc()}.node`;
}

/**
 * File of the addon: a build of this machine where there is one, otherwise the prebuilt one. `RIPSTOP_NATIVE` names another
 * configuration of the build (`Sanitize`), or is `prebuilt`.
 * @param root folder of the package, with a slash at its end
 */
export function addonFile(root: string): string {
  const variant = process.env.RIPSTOP_NATIVE;
  if (variant === 'prebuilt') return prebuiltAddon(root);
  const built = `${root}src/native/build/${variant ?? 'Release'}/ripstop.node`;
  return variant !== undefined || existsSync(built) ? built : prebuiltAddon(root);
}

/** What a person does where the addon is missing or does not load. */
export function addonRemedy(root: string): string {
  const tools = 'It needs python3, make and a C++17 compiler.';
  return root.includes('/node_modules/')
    ? `build it with "npm rebuild ripstop --foreground-scripts". ${tools}`
    : `build it with "npm run build". ${tools}`;
}
