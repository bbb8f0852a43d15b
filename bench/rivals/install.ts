import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describeError, RipstopError } from '../../src/base/errors.ts';
import { attempt } from '../../src/lab/command.ts';
import { BUILT, VERSIONS } from '../contenders/tunnels/built.ts';

/** A rival that Go builds from its newest module. */
export interface Rival {
  readonly module: string;
  /** Package to build below the module, and the name of the program. */
  readonly programs: readonly (readonly [path: string, name: string])[];
}

export const RIVALS: readonly Rival[] = [
  { module: 'golang.zx2c4.com/wireguard', programs: [['', 'wireguard-go']] },
  {
    module: 'github.com/slackhq/nebula',
    programs: [
      ['/cmd/nebula', 'nebula'],
      ['/cmd/nebula-cert', 'nebula-cert'],
    ],
  },
];

/** Versions that are tried, newest first: the newest one may need a newer Go, or a module that the proxy does not have. */
const TRIES = 5;
const BUILD_MS = 600_000;

interface InstallOptions {
  readonly folder?: string;
  /** Path of Go. */
  readonly go: string | undefined;
  readonly tell: (line: string) => void;
}

/**
 * Builds each rival in the newest version that this Go can build, and writes the versions next to the programs.
 * @returns the modules that could not be built, with the reason
 * @throws RipstopError ECOMMAND without Go
 */
export function installRivals({ folder = BUILT, go, tell }: InstallOptions): string[] {
  if (go === undefined)
    throw new RipstopError(
      'ECOMMAND',
      'Go is not installed here, so that wireguard-go and nebula are not measured unless they are on the path',
      'install Go 1.25 or newer (https://go.dev/dl)',
    );
  mkdirSync(folder, { recursive: true });
  const failed: string[] = [];
  for (const rival of RIVALS) {
    try {
      const version = installOne(rival, folder, go, tell);
      tell(`${rival.programs.map(([, name]) => name).join(', ')} ${version}`);
    } catch (error) {
      failed.push(`${rival.module}: ${describeError(error)}`);
    }
  }
  return failed;
}

function installOne(
  { module, programs }: Rival,
  folder: string,
  go: string,
  tell: InstallOptions['tell'],
): string {
  const reasons: string[] = [];
  for (const version of newest(go, module)) {
    tell(`building ${module}@${version}`);
    // On the same file system as the folder, so that a program appears there at once and whole.
    const place = mkdtempSync(join(folder, '.build-'));
    try {
      const packages = programs.map(([path]) => `${module}${path}@${version}`);
      const env = ['env', `GOBIN=${place}`, 'CGO_ENABLED=0'];
      const { code, stderr } = attempt([...env, go, 'install', '-trimpath', ...packages], '', BUILD_MS);
      if (code === 0) {
        // Go names a program after the last part of its package.
        for (const [path, name] of programs)
          renameSync(join(place, `${module}${path}`.split('/').at(-1)!), join(folder, name));
        const built = moduleVersion(go, join(folder, programs[0]![1]));
        note(
          folder,
          programs.map(([, name]) => name),
          built,
        );
        return built;
      }
      reasons.push(`${version}: ${stderr.trim().split('\n').at(-1)}`);
    } finally {
      rmSync(place, { recursive: true, force: true });
    }
  }
  throw new RipstopError('ECOMMAND', reasons.join('; '));
}

/** The newest tags of a module, newest first; of one without tags `latest`, its newest commit. */
function newest(go: string, module: string): string[] {
  const { code, stdout, stderr } = attempt([go, 'list', '-m', '-versions', module], '', BUILD_MS);
  if (code !== 0) throw new RipstopError('ECOMMAND', stderr.trim());
  const tags = stdout.trim().split(/\s+/).slice(1).reverse();
  return tags.length === 0 ? ['latest'] : tags.slice(0, TRIES);
}

/** As the program carries it. Of a commit without a tag the date and the commit are shown. */
function moduleVersion(go: string, program: string): string {
  const said = attempt([go, 'version', '-m', program]).stdout;
  return /^\s+mod\s+\S+\s+(\S+)/m.exec(said)?.[1] ?? 'unknown';
}

function note(folder: string, names: readonly string[], version: string): void {
  const file = join(folder, VERSIONS);
  let known: Record<string, string> = {};
  try {
    known = JSON.parse(readFileSync(file, 'utf8')) as Record<string, string>;
  } catch {
    // The first one.
  }
  for (const name of names) known[name] = version;
  writeFileSync(file, `${JSON.stringify(known, null, 2)}\n`);
}
