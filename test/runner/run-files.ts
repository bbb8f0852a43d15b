/*
 * Runs test files side by side, as subtests of one TAP stream: `node run-files.js FILE...`. `tap run` does the same, but makes
 * each file, and every Node process that a test starts, load its coverage hook, which takes 0.3 s of processor time per process.
 */
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { groupsOf } from './groups.ts';

/** Per file or group, for one that hangs, seconds. It is many times what any takes on a busy machine. */
const FILE_SECONDS = 1800;

/**
 * Processes that run side by side: one more than processors, since many of them wait. Each makes its own network namespaces,
 * ports and directories. The kernel serialises changes of devices (RTNL), so that more than six gain nothing.
 */
const JOBS = Math.min(availableParallelism() + 1, 6);
const RUN_GROUP = join(import.meta.dirname, 'run-group.js');

const groups = groupsOf(process.argv.slice(2));
// Each test of a file has the limit of the file.
process.env.TAP_TIMEOUT = String(FILE_SECONDS);
t.setTimeout(0);
t.jobs = Math.min(JOBS, groups.length);
t.plan(groups.length);
for (const [at, group] of groups.entries()) {
  const [file = ''] = group;
  const isAlone = group.length === 1;
  const name = isAlone ? file : `group ${at + 1} of ${group.length} files`;
  const program = isAlone
    ? [process.execPath, file]
    : [`TEST_FILES=${group.join(' ')}`, process.execPath, RUN_GROUP];
  // tap sets its hook in NODE_OPTIONS, and `env` restores the former value.
  const command = [`NODE_OPTIONS=${process.env.NODE_OPTIONS ?? ''}`, ...program];
  const options = {
    at: null,
    stack: '',
    buffered: t.jobs > 1,
    timeout: FILE_SECONDS * 1000,
    externalID: name,
  };
  void t.spawn('env', command, options, name);
}
