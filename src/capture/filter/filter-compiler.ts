import { type ExecFileException, execFile } from 'node:child_process';
import { hasCode, RipstopError } from '../../base/errors.ts';
import { LINK_ETHERNET } from '../format/packet.ts';
import { type BpfProgram, parseProgram } from './bpf.ts';

const TIMEOUT_MS = 10_000;
const OUTPUT_MAX = 1 << 20;
/** Longer expressions take libpcap's optimiser seconds. */
const EXPRESSION_MAX = 4096;

/**
 * Compiles a filter in tcpdump's language (pcap-filter(7)) with libpcap's compiler: `tcpdump -ddd` as a child process,
 * without a shell. Throws RipstopError EFILTER with libpcap's message.
 * @param link LINKTYPE_* of the packets
 */
export async function compileFilter(expression: string, link: number): Promise<BpfProgram> {
  // After `--` nothing is an option, so a filter cannot make tcpdump write a file.
  const args = ['-ddd', '-y', link === LINK_ETHERNET ? 'EN10MB' : 'RAW', '--', expression];
  // Credentials in the environment of the agent are not for another program.
  const env = { PATH: process.env.PATH, LC_ALL: 'C' };
  const options = { timeout: TIMEOUT_MS, maxBuffer: OUTPUT_MAX, env };
  if (expression.length > EXPRESSION_MAX)
    refuse(expression, `it is longer than ${EXPRESSION_MAX} characters`);
  if (expression.includes('\0')) refuse(expression, 'it contains a NUL character');
  return new Promise((resolve, reject) => {
    execFile('tcpdump', args, options, (error, stdout, stderr) => {
      try {
        if (error) explain(expression, error, stderr);
        resolve(parseProgram(stdout));
      } catch (fault) {
        reject(fault);
      }
    });
  });
}

function explain(expression: string, error: ExecFileException, stderr: string): never {
  if (hasCode(error, 'ENOENT'))
    throw new RipstopError(
      'EFILTER',
      'capture filters are compiled by tcpdump, which is not installed',
      'install tcpdump, or select only with --point, --peer, --vni and --verdict',
    );
  if (error.killed) refuse(expression, `it did not compile within ${TIMEOUT_MS / 1000} s`);
  const lines = stderr.split('\n').filter(line => line.startsWith('tcpdump: '));
  refuse(expression, lines.map(line => line.slice('tcpdump: '.length)).join('; ') || error.message);
}

function refuse(expression: string, problem: string): never {
  const shown = expression.length > 200 ? `${expression.slice(0, 200)}…` : expression;
  throw new RipstopError(
    'EFILTER',
    `filter ${JSON.stringify(shown)}: ${problem}`,
    'see `man pcap-filter` for the language',
  );
}
