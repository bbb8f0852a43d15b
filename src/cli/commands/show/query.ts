import type { Command } from 'commander';
import type { Answer } from '../../../api/answers.ts';
import { getJson } from '../../../api/client.ts';
import type { ReportPath } from '../../../api/report/files.ts';
import { printableValue } from '../../../base/text/printable.ts';
import { type Output, objectText } from '../../json/print.ts';
import { addFrom, addOutput, integerOption, type OutputOptions, SOCKET } from '../../options.ts';
import { addLastOptions, checkLastOptions, type LastDropsOptions } from '../recorder/last-drops-options.ts';
import { showStatus } from './status.ts';
import { showDrops, showLeases, showPeers, showPods, showRoutes } from './tables.ts';

interface QueryOptions extends OutputOptions {
  socket: string;
  from?: string;
  follow?: true;
  wait?: true;
  waitDuration?: number;
  audit?: true;
  duration?: number;
  last?: number;
  write?: string;
  device?: string;
}

/** A command that prints an answer of the agent; its name is that of the path. */
interface QueryCommand<P extends ReportPath> {
  readonly path: P;
  readonly summary: string;
  /** Formats the answer for a terminal. */
  readonly show: (answer: Answer<P>) => string;
  readonly object: (output: Output, answer: Answer<P>) => Promise<string>;
  /** Prints events until it is stopped; the command then has `--follow`. */
  readonly follow?: (socket: string, output: Output | undefined) => Promise<void>;
  /** Prints the account of `seconds`; the command then has `--audit`. */
  readonly audit?: (
    socket: string,
    seconds: number,
    output: Output | undefined,
    from: string | undefined,
  ) => Promise<void>;
  /** Prints or writes the last ones that the flight recorder has; the command then has `--last`. */
  readonly last?: (socket: string, options: LastDropsOptions, output: Output | undefined) => Promise<void>;
  /** Waits for the answer that a caller needs; the command then has `--wait`. */
  readonly wait?: (socket: string, seconds: number) => Promise<Answer<P>>;
  /** False: the exit status is 1. */
  readonly isWell?: (answer: Answer<P>) => boolean;
}

/** Longest wait of `--wait` by default. */
const WAIT_SECONDS = 300;

/** Length of `drops --audit` by default. */
const AUDIT_SECONDS = 5;

/** `ripstop status`, `peers`, `routes`, `leases`, `pods` and `drops`. */
export function addQueries(program: Command): void {
  addQuery(program, {
    path: '/status',
    summary: 'show the state of this node',
    show: showStatus,
    object: (output, status) => objectText(output, 'ripstop-status/1', status),
    wait: async (socket, seconds) => (await import('./status-wait.ts')).waitUntilReady(socket, seconds),
    isWell: ({ ready }) => ready,
  });
  addQuery(program, {
    path: '/peers',
    summary: 'list the peers with their traffic and reachability',
    show: showPeers,
    object: (output, peers) => objectText(output, 'ripstop-peers/1', { peers }),
  });
  addQuery(program, {
    path: '/routes',
    summary: 'list the routes that the agent keeps in the kernel',
    show: showRoutes,
    object: (output, routes) => objectText(output, 'ripstop-routes/1', { routes }),
  });
  addQuery(program, {
    path: '/leases',
    summary: 'list all leases of the store',
    show: showLeases,
    object: (output, leases) => objectText(output, 'ripstop-leases/1', { leases }),
  });
  addQuery(program, {
    path: '/pods',
    summary: 'list the addresses of the pods of this node, and who had them before',
    show: showPods,
    object: (output, pods) => objectText(output, 'ripstop-pods/1', { pods }),
  });
  addQuery(program, {
    path: '/drops',
    summary: 'show why frames were dropped',
    show: showDrops,
    object: (output, answer) => objectText(output, 'ripstop-drops/1', answer),
    follow: async (socket, output) => (await import('./drops-follow.ts')).followDrops(socket, output),
    audit: async (socket, seconds, output, from) =>
      (await import('./drops-audit.ts')).auditDrops(socket, seconds, output, from),
    last: async (socket, options, output) =>
      (await import('../recorder/last-drops.ts')).showLastDrops(socket, options, output),
  });
}

function addQuery<P extends ReportPath>(
  program: Command,
  { path, summary, show, object, follow, audit, last, wait, isWell }: QueryCommand<P>,
): void {
  const command = program
    .command(path.slice(1))
    .summary(summary)
    .description(
      `${summary.charAt(0).toUpperCase()}${summary.slice(1)}, as reported by the running agent.${isWell ? ' The exit status is 1 if the node is not ready.' : ''}`,
    )
    .addOption(SOCKET)
    .action(async ({ socket, output, from, ...options }: QueryOptions) => {
      if (options.follow && follow) return follow(socket, output);
      if (last) checkLastOptions(options);
      if (options.last !== undefined && last)
        return last(socket, { ...options, count: options.last }, output);
      if (options.audit && audit) return audit(socket, options.duration ?? AUDIT_SECONDS, output, from);
      const answer =
        from !== undefined
          ? await answerFrom(from, path, output)
          : options.wait && wait
            ? await wait(socket, options.waitDuration ?? WAIT_SECONDS)
            : await getJson(socket, path);
      process.stdout.write(output ? await object(output, answer) : show(printableValue(answer)));
      if (isWell?.(answer) === false) process.exitCode = 1;
    });
  addOutput(command, follow ? 'drop with --follow' : undefined);
  addFrom(command, follow ? ['follow', 'duration'] : wait ? ['wait', 'waitDuration'] : []);
  if (wait)
    command
      .option('--wait', 'wait until an agent runs and the node is ready')
      .option(
        '--wait-duration <seconds>',
        `with --wait: longest time to wait (default: ${WAIT_SECONDS})`,
        integerOption(1, 86_400),
      );
  if (audit)
    command
      .option('--audit', 'count for some seconds what enters, and compare it with all outcomes')
      .option(
        '--duration <seconds>',
        `with --audit: length of the count (default: ${AUDIT_SECONDS})`,
        integerOption(1, 60),
      );
  if (last) addLastOptions(command);
  if (follow) command.option('--follow', 'print each drop as it happens, until Ctrl-C');
}

async function answerFrom<P extends ReportPath>(
  file: string,
  path: P,
  output: Output | undefined,
): Promise<Answer<P>> {
  return (await import('../report/report-file.ts')).answerFrom(file, path, output);
}
