import type { Command } from 'commander';
import { askAgent, DEFAULT_SOCKET } from '../agent/api-client.ts';

interface AskOptions {
  socket: string;
  json?: true;
}

/** What a command that only asks the agent has to say. */
export interface Question<T> {
  readonly name: string;
  readonly summary: string;
  /** Path of the agent's interface. */
  readonly path: string;
  /** The answer as text for a terminal. */
  readonly show: (answer: T) => string;
}

/** Declares a command that asks the running agent and prints its answer as text or, with --json, as it came. */
export function addQuestion<T>(program: Command, { name, summary, path, show }: Question<T>): void {
  program
    .command(name)
    .summary(summary)
    .description(`${summary[0]!.toUpperCase()}${summary.slice(1)}, as the running agent knows it.`)
    .option('--socket <path>', "the agent's socket", DEFAULT_SOCKET)
    .option('--json', 'print JSON')
    .action(async (options: AskOptions) => {
      const answer = await askAgent<T>(options.socket, path);
      process.stdout.write(options.json ? `${JSON.stringify(answer, null, 2)}\n` : show(answer));
    });
}
