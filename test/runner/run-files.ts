/*
 * Runs test files side by side, as subtests of one TAP stream: `node run-files.js FILE...`. `tap run` does the same, but makes
 * each file, and every Node process that a test starts, load its coverage hook, which takes 0.3 s of processor time per process.
 */
import { availableParallelism } from 'node:os';
import t from 'tap';

/** Per file, for one that hangs, seconds. It is many times what any file takes on a busy machine. */
const FILE_SECONDS = 1800;

/**
 * Files that run side by side: one more than processors, since many of them wait. Each makes its own network namespaces,
 * ports and directories. The kernel serialises changes of devices (RTNL), so that more than six gain nothing.
 */
const JOBS = Math.min(availableParallelism() + 1, 6);

const files = process.argv.slice(2);
// tap sets the hook in NODE_OPTIONS, and `env` restores the former value.
const command = [`NODE_OPTIONS=${process.env.NODE_OPTIONS ?? ''}`, process.execPath];
// Each test of a file has the limit of the file.
process.env.TAP_TIMEOUT = String(FILE_SECONDS);
t.setTimeout(0);
t.jobs = Math.min(JOBS, files.length);
t.plan(files.length);
for (const file of files) {
  const buffered = t.jobs > 1;
  const options = { at: null, stack: '', buffered, timeout: FILE_SECONDS * 1000, externalID: file };
  void t.spawn('env', [...command, file], options, file);
}
