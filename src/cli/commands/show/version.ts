import type { Command } from 'commander';
import { getJson } from '../../../api/client.ts';
import { hasCode } from '../../../base/errors.ts';
import { printable } from '../../../base/text/printable.ts';
import { objectText } from '../../json/print.ts';
import { addOutput, type OutputOptions, SOCKET } from '../../options.ts';

interface VersionOptions extends OutputOptions {
  readonly socket: string;
}

/** `ripstop version`: the versions of this program and of the running agent, which may be an older one. */
export function addVersion(program: Command): void {
  const command = program
    .command('version')
    .summary('print the versions of ripstop, Node.js and the running agent')
    .description('Prints the versions of this program, of Node.js and of the running agent, if there is one.')
    .addOption(SOCKET)
    .action(async ({ socket, output }: VersionOptions) => {
      const versions = {
        ripstop: program.version() ?? '',
        node: process.version,
        agent: await agentVersion(socket),
      };
      process.stdout.write(
        output ? await objectText(output, 'ripstop-version/1', versions) : showVersions(versions),
      );
    });
  addOutput(command);
}

interface Versions {
  readonly ripstop: string;
  readonly node: string;
  readonly agent: { readonly version: string; readonly pid: number } | null;
}

function showVersions({ ripstop, node, agent }: Versions): string {
  const running = agent ? `${printable(agent.version)} (pid ${agent.pid})` : 'not running';
  return `ripstop ${ripstop}\nnode    ${node}\nagent   ${running}\n`;
}

async function agentVersion(socket: string): Promise<Versions['agent']> {
  try {
    const { version, pid } = await getJson(socket, '/status');
    return { version, pid };
  } catch (error) {
    if (hasCode(error, 'ENOAGENT')) return null;
    throw error;
  }
}
