import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadPlugin } from '../../../src/cni/plugins.ts';
import type { Environment } from '../../../src/cni/skel/environment.ts';
import { kernelNamespaces } from '../../../src/cni/skel/namespace.ts';
import type { Host, Plugin } from '../../../src/cni/skel/plugin.ts';
import { run } from '../../../src/cni/skel/run.ts';

/** The part of a tap test that is needed here. */
interface Owner {
  teardown(undo: () => void): void;
}

/** What one invocation of a plugin left: its status, its answer, its log. */
export interface Answer {
  status: number;
  text: string;
  // biome-ignore lint/suspicious/noExplicitAny: answers are compared member by member
  json: any;
  stderr: string;
}

export function testHost(lines: string[] = []): Host {
  return {
    clock: () => 0,
    netns: '',
    namespaces: kernelNamespaces,
    log: line => void lines.push(line),
    own: loadPlugin,
  };
}

/** Runs a plugin in this process, from environment to output. */
export async function invoke(
  plugin: Plugin,
  env: Environment,
  config: unknown,
  host: Host = testHost(),
): Promise<Answer> {
  let text = '';
  let stderr = '';
  const streams = {
    env,
    stdin: () => (typeof config === 'string' ? config : JSON.stringify(config)),
    stdout: (part: string) => {
      text += part;
    },
    stderr: (part: string) => {
      stderr += part;
    },
  };
  const status = await run(plugin, streams, host);
  return { status, text, json: text === '' ? undefined : JSON.parse(text), stderr };
}

/** Environment of one attachment; `changes` replace or, with undefined, remove variables. */
export function attachment(command: string, changes: Environment = {}): Environment {
  return {
    CNI_COMMAND: command,
    CNI_CONTAINERID: 'c1',
    CNI_NETNS: '/no/such/netns',
    CNI_IFNAME: 'eth0',
    CNI_PATH: '/no/such/directory',
    ...changes,
  };
}

/** A directory that goes with the test. */
export function scratch(test: Owner): string {
  const directory = mkdtempSync(join(tmpdir(), 'rs-cni-'));
  test.teardown(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}
