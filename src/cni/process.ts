import { readFileSync, writeSync } from 'node:fs';
import { monotonicMs } from '../base/clock.ts';
import { hasCode } from '../base/errors.ts';
import { loadEveryPlugin, loadPlugin } from './plugins.ts';
import { kernelNamespaces } from './skel/namespace.ts';
import type { Host } from './skel/plugin.ts';
import { runTraced } from './telemetry/run-traced.ts';

export { loadEveryPlugin };

/** The host of plugins that run in a process of their own. */
export function processHost(): Host {
  return {
    clock: monotonicMs,
    netns: '',
    namespaces: kernelNamespaces,
    log: line => void writeAll(2, `${line}\n`),
    own: loadPlugin,
  };
}

/** Writes the whole text; a pipe may accept it in parts. */
function writeAll(fd: number, text: string): void {
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length; ) {
    try {
      at += writeSync(fd, bytes, at);
    } catch (error) {
      if (!hasCode(error, 'EAGAIN')) throw error;
    }
  }
}

/** Runs the named plugin on the environment and streams of this process, and exits. */
export async function runPluginProcess(name: string, args: readonly string[] = []): Promise<never> {
  if (name === 'dhcp' && args[0] === 'daemon') {
    const { runDhcpDaemon } = await import('./ipam/dhcp/daemon-process.ts');
    process.exit(await runDhcpDaemon(args.slice(1)));
  }
  const plugin = await loadPlugin(name);
  if (!plugin) {
    writeAll(2, `ripstop has no CNI plugin "${name}"\n`);
    process.exit(1);
  }
  const streams = {
    env: process.env,
    stdin: () => readFileSync(0, 'utf8'),
    stdout: (text: string) => writeAll(1, text),
    stderr: (text: string) => writeAll(2, text),
  };
  const { status, exported } = await runTraced(plugin, streams, processHost());
  await exported;
  process.exit(status);
}
