import type { Command } from 'commander';
import { getJson, postLogLevels } from '../../../api/client.ts';
import { SOCKET } from '../../options.ts';

/** `ripstop log-level`: the levels of the running agent's log, and their change until it ends. */
export function addLogLevel(program: Command): void {
  program
    .command('log-level')
    .summary("show or change the levels of the agent's log")
    .description(
      'Prints the log levels of the running agent, or changes them until it ends. The syntax is that of --log-level: one ' +
        'level for all components, then one per component that differs.',
    )
    .argument('[levels]', 'info, debug, or warn,store=debug,dataplane=trace')
    .addOption(SOCKET)
    .action(async (levels: string | undefined, { socket }: { socket: string }) => {
      const now =
        levels === undefined ? await getJson(socket, '/log-level') : await postLogLevels(socket, levels);
      process.stdout.write(`${now.levels}\n`);
    });
}
