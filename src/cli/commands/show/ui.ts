import type { Command } from 'commander';
import { getJson } from '../../../api/client.ts';
import { RipstopError } from '../../../base/errors.ts';
import { SOCKET } from '../../options.ts';

const WEB_HINT =
  'a row endpoint of `ripstop status` says why it is not open; without that row, start the agent with --web-port 8473';

/** `ripstop ui`: the link of the node's web UI with its token, for everyone who may use the agent's socket. */
export function addUi(program: Command): void {
  program
    .command('ui')
    .summary("print the link of the node's web UI")
    .description(
      "Prints the link of the node's web UI for a browser on this machine: peers, drops, flows, a live capture. The link " +
        'contains the token; treat it as a password. From another machine: ssh -L 8473:127.0.0.1:8473 NODE.',
    )
    .addOption(SOCKET)
    .action(async ({ socket }: { socket: string }) => {
      const { link } = await getJson(socket, '/web');
      if (link === null) throw new RipstopError('ENOWEB', 'the agent serves no web UI', WEB_HINT);
      process.stdout.write(`${link}\n`);
    });
}
