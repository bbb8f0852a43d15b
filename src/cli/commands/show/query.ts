import type { Command } from 'commander';
import { DEFAULT_SOCKET, getJson } from '../../../api/client.ts';

interface AskOptions {
  socket: string;
  json?: true;
  follow?: true;
}

/** What a command that only asks the agent has to say. */
export interface QueryCommand<T> {
  readonly name: string;
  readonly summary: string;
  /** Path of the agent's interface. */
  readonly path: string;
  /** The answer as text for a terminal. */
  readonly show: (answer: T) => string;
  /** Shows what happens from now on, until it is stopped; the command then has `--follow`. */
  readonly follow?: (socket: string, json: boolean) => Promise<void>;
}

/** Declares a command that asks the running agent and prints its answer as text or, with --json, as it came. */
export function addQueryCommand<T>(
  program: Command,
  { name, summary, path, show, follow }: QueryCommand<T>,
): void {
  const command = program
    .command(name)
    .summary(summary)
    .description(`${summary.charAt(0).toUpperCase()}${summary.slice(1)}, as reported by the running agent.`)
    .option('--socket <path>', "the agent's socket", DEFAULT_SOCKET)
    .option('--json', 'print JSON')
    .action(async (options: AskOptions) => {
      if (options.follow && follow) return follow(options.socket, options.json ?? false);
      const answer = await getJson<T>(options.socket, path);
      process.stdout.write(options.json ? `${JSON.stringify(answer, null, 2)}\n` : show(answer));
    });
  if (follow) command.option('--follow', 'show each one as it happens, until Ctrl-C');
}
