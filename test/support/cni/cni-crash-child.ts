import childProcess from 'node:child_process';
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';

/*
 * Runs one plugin call in a process that kills itself with SIGKILL right before its n-th act on kernel or disk, or, when
 * that is one more than there are, before it answers:
 *   node cni-crash-child.js <n> <plugin> <netns of the node>     (environment and standard input as for a plugin)
 * Prints "steps <count>" when the call ended before.
 */

const [, , limit = '0', pluginName = '', netns = ''] = process.argv;
let steps = 0;

function step(): void {
  steps++;
  if (steps === Number(limit)) process.kill(process.pid, 'SIGKILL');
}

/** Counts the calls of a function that changes something. */
// biome-ignore lint/suspicious/noExplicitAny: any function of a built-in module
function counted(holder: any, name: string): void {
  const original = holder[name];
  holder[name] = (...args: unknown[]) => {
    step();
    return original.apply(holder, args);
  };
}

for (const name of [
  'writeFileSync',
  'linkSync',
  'renameSync',
  'symlinkSync',
  'unlinkSync',
  'utimesSync',
  'mkdirSync',
  'writeSync',
]) {
  counted(fs, name);
}
counted(childProcess, 'spawn');
syncBuiltinESMExports();

const input = fs.readFileSync(0, 'utf8');
const { NetlinkSocket } = await import('../../../src/net/rtnetlink/socket.ts');
const { request } = NetlinkSocket.prototype;
NetlinkSocket.prototype.request = function counting(writer) {
  step();
  return request.call(this, writer);
};
const { native } = await import('../../../src/native/load.ts');
counted(native, 'nftRun');
const { loadPlugin } = await import('../../../src/cni/plugins.ts');
const { kernelNamespaces } = await import('../../../src/cni/skel/namespace.ts');
const { run } = await import('../../../src/cni/skel/run.ts');

const plugin = await loadPlugin(pluginName);
let answer = '';
const status = await run(
  plugin!,
  {
    env: process.env,
    stdin: () => input,
    stdout: text => {
      answer += text;
    },
    stderr: () => {},
  },
  {
    clock: () => performance.now(),
    netns,
    namespaces: kernelNamespaces,
    log: () => {},
    own: loadPlugin,
    agent: { trouble: () => undefined },
  },
);
step();
process.stdout.write(status === 0 ? `steps ${steps}\n` : answer);
