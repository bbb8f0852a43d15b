import { resolve } from 'node:path';
import { describeError } from '../../base/errors.ts';
import { appendRegularFile, fileSystemAnswers } from '../../base/files/regular-file.ts';
import { listOf, text } from '../../base/schema.ts';
import { runCommand } from '../../net/command.ts';
import { readIgnoringUnknown } from '../config/ignore-unknown.ts';
import { readPrevResult } from '../config/network.ts';
import { emptyResult, type Result } from '../result/types.ts';
import { visibleCwd } from '../skel/environment.ts';
import { isNamespace } from '../skel/namespace.ts';
import type { Call, Plugin } from '../skel/plugin.ts';

const hooks = (when: string) =>
  listOf(listOf(text('a word', 'command or argument'), 'command'), `commands run in the pod on ${when}`);

const debugFields = {
  cniOutput: text('a path', 'file that every call is appended to'),
  addHooks: hooks('ADD'),
  delHooks: hooks('DEL'),
  checkHooks: hooks('CHECK'),
};

/** Appends the call to `cniOutput`, as the reference plugin writes it. A file that cannot be written is only logged. */
async function record(call: Call, file: string | undefined): Promise<void> {
  if (!file) return;
  const lines = [
    `Cmd${call.command[0]}${call.command.slice(1).toLowerCase()}`,
    `ContainerID: ${call.containerId}`,
    `NetNs: ${call.netns}`,
    `IfName: ${call.ifname}`,
    `Args: ${call.args}`,
    `Path: ${call.path.join(':')}`,
    `StdinData: ${call.configText()}`,
    '----------------------',
    '',
  ];
  try {
    await fileSystemAnswers(file);
    appendRegularFile(file, lines.join('\n'), 0o600);
  } catch (error) {
    call.host.log(`debug: ${describeError(error)}`);
  }
}

/** Runs the hooks in the pod's namespace; one that fails is logged and keeps nothing else from running. */
async function runHooks(call: Call, list: string[][] | undefined): Promise<void> {
  if (!list || !isNamespace(call.host.namespaces, call.netns)) return;
  for (const [program, ...args] of list) {
    if (!program) continue;
    try {
      const { stdout } = await runCommand(program, args, { netns: call.netns, cwd: visibleCwd(call) });
      if (stdout) call.host.log(stdout.trimEnd());
    } catch (error) {
      call.host.log(`debug: hook ${program}: ${describeError(error)}`);
    }
  }
}

async function observe(call: Call, key: 'addHooks' | 'delHooks' | 'checkHooks' | undefined): Promise<void> {
  const config = readIgnoringUnknown(debugFields, call.config, '');
  await record(call, config.cniOutput && resolve(call.cwd, config.cniOutput));
  if (key) await runHooks(call, config[key]);
}

async function add(call: Call): Promise<Result> {
  await observe(call, 'addHooks');
  return readPrevResult(call) ?? emptyResult();
}

/** Writes down what plugins are called with, and runs commands in the pod. */
export const debug: Plugin = {
  name: 'debug',
  docs: { keys: debugFields, differences: [] },

  add,
  del: call => observe(call, 'delHooks'),
  check: call => observe(call, 'checkHooks'),
  gc: call => observe(call, undefined),
  status: call => observe(call, undefined),
};
