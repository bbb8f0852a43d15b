/* `npm run bench:rivals`: builds the rivals of the bench that Go can build. See docs/guides/benchmark/benchmarking.md. */
import { describeError } from '../../src/base/errors.ts';
import { findProgram } from '../../src/lab/programs.ts';
import { BUILT } from '../contenders/tunnels/built.ts';
import { installRivals } from './install.ts';

const tell = (line: string) => process.stderr.write(`bench:rivals: ${line}\n`);
try {
  const failed = installRivals({ go: findProgram('go'), tell });
  for (const line of failed) tell(line);
  if (failed.length === 0) tell(`built in ${BUILT}`);
  process.exitCode = failed.length === 0 ? 0 : 1;
} catch (error) {
  tell(describeError(error));
  process.exitCode = 1;
}
