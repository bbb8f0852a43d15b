import type { Command } from 'commander';
import { getJson } from '../../../api/client.ts';
import { hasCode } from '../../../base/errors.ts';
import { SOCKET } from '../../options.ts';

/** `ripstop version`: the versions of this program and of the running agent, which may be an older one. */
export function addVersion(program: Command): void {
  program
    .command('version')
    .summary('print the versions of ripstop, Node.js and the running agent')
    .description('Prints the versions of this program, of Node.js and of the running agent, if there is one.')
    .addOption(SOCKET)
    .action(async ({ socket }: { socket: string }) => {
      process.stdout.write(`ripstop ${program.version() ?? ''}\nnode    ${process.version}\n`);
      process.stdout.write(`agent   ${await agentVersion(socket)}\n`);
    });
}

async function agentVersion(socket: string): Promise<string> {
  try {
    const { version, pid } = await getJson(socket, '/status');
    return `${version} (pid ${pid})`;
  } catch (error) {
    if (hasCode(error, 'ENOAGENT')) return 'not running';
    throw error;
  }
}
