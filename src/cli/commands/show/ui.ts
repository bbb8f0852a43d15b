import type { Command } from 'commander';
import { askAgent, DEFAULT_SOCKET } from '../../../api/client.ts';
import type { PageLink } from '../../../api/web/messages.ts';
import { RipstopError } from '../../../base/errors.ts';

/** `ripstop page`: the link of the node's page, token and all, for whoever may use the agent's socket. */
export function addPage(program: Command): void {
  program
    .command('page')
    .summary("print the link of the node's page")
    .description(
      "Prints the link of the node's page, for a browser on this machine: peers, drops, flows, a live capture. The link " +
        'holds the token behind #; treat it as a password. From another machine: ssh -L 8473:127.0.0.1:8473 NODE.',
    )
    .option('--socket <path>', "the agent's socket", DEFAULT_SOCKET)
    .action(async ({ socket }: { socket: string }) => {
      const { link } = await askAgent<PageLink>(socket, '/page');
      if (link === null)
        throw new RipstopError(
          'ENOPAGE',
          'this node serves no page',
          'agent: --page-port, and its log says why not; run: --page 127.0.0.1:8473',
        );
      process.stdout.write(`${link}\n`);
    });
}
