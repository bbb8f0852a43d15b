import { createHash } from 'node:crypto';
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
} from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { must } from '../../../bench/lab/command.ts';
import { launch } from '../../../bench/lab/proc.ts';
import { CHECKOUT } from '../../../bench/lab/tool.ts';
import { type ImageConfig, ignores, readDockerfile, type Stage, type Step } from './dockerfile.ts';

/*
 * The image as docs/deploy/Dockerfile describes it, without a registry and a builder: each step is a layer of an overlay
 * in a cache, as a builder makes it. What differs from `docker build`: the base image, which cannot be pulled, is
 * Debian 12 by mmdebstrap with the Node of the same version from npm's package node-linux-ARCH, headers included, and
 * this machine's npm. RUN has this machine's certificates.
 */

/** For `skipUnless`. */
export const BUILDER = ['root', 'mmdebstrap', 'npm', 'tar', 'chroot', 'unshare'] as const;

const CACHE = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'ripstop', 'image');
/** Of a step under load: apt-get and npm ci fetch over the network. */
const STEP_MS = 400_000;
/** Layers that no build has used for so long are removed. */
const STALE_MS = 2 * 3_600_000;
const CERTIFICATES = '/etc/ssl/certs/ca-certificates.crt';

export interface BuiltImage {
  /** Directories of the layers, the base first. */
  readonly layers: readonly string[];
  readonly config: ImageConfig;
  /** Changes with every layer. */
  readonly key: string;
}

/** Builds what is not in the cache. @throws RipstopError with what the failing step said */
export async function buildImage(): Promise<BuiltImage> {
  mkdirSync(CACHE, { recursive: true });
  const built = new Map<string, BuiltImage>();
  let last: BuiltImage | undefined;
  for (const stage of readDockerfile(readFileSync(join(CHECKOUT, 'docs/deploy/Dockerfile'), 'utf8'))) {
    last = await buildStage(stage, built);
    built.set(stage.name, last);
  }
  removeStale();
  return last!;
}

async function buildStage(stage: Stage, built: ReadonlyMap<string, BuiltImage>): Promise<BuiltImage> {
  const base = built.get(stage.base);
  const layers = base ? [...base.layers] : [await baseLayer(stage.base)];
  let key = base?.key ?? hash(stage.base);
  for (const { step, workdir, env } of stage.steps) {
    const from = step.do === 'copy' && step.from !== undefined ? built.get(step.from) : undefined;
    key = hash(
      key,
      JSON.stringify([step, workdir, env]),
      step.do === 'copy' ? (from?.key ?? contextKey(step)) : '',
    );
    layers.push(await layer(key, upper => make(upper, layers, step, workdir, env, from)));
  }
  return { layers, config: stage.config, key };
}

/** A layer out of the cache, or made by `fill`; two processes that make it at once do no harm. */
async function layer(key: string, fill: (folder: string) => Promise<void>): Promise<string> {
  const folder = join(CACHE, key);
  const now = new Date();
  if (!existsSync(folder)) {
    const draft = `${folder}.${process.pid}`;
    rmSync(draft, { recursive: true, force: true });
    mkdirSync(draft);
    try {
      await fill(draft);
      if (!existsSync(folder)) renameSync(draft, folder);
    } finally {
      rmSync(draft, { recursive: true, force: true });
    }
  }
  utimesSync(folder, now, now);
  return folder;
}

async function make(
  upper: string,
  layers: readonly string[],
  step: Step,
  workdir: string,
  env: readonly string[],
  from: BuiltImage | undefined,
): Promise<void> {
  const work = `${upper}.work`;
  const root = `${upper}.root`;
  for (const folder of [work, root]) mkdirSync(folder, { recursive: true });
  const mounts = [mountWords(layers, root, upper, work)];
  try {
    if (step.do === 'run') {
      for (const name of ['proc', 'dev']) mounts.push(`mount --rbind /${name} ${root}/${name}`);
      for (const file of ['/etc/resolv.conf', '/etc/hosts', CERTIFICATES])
        if (existsSync(file))
          mounts.push(
            `mkdir -p ${root}${dirname(file)} && touch ${root}${file} && mount --bind ${file} ${root}${file}`,
          );
      const variables = [...env, 'HOME=/root', `NODE_EXTRA_CA_CERTS=${CERTIFICATES}`];
      const inside = [
        'env',
        '-i',
        ...variables,
        'sh',
        '-c',
        `mkdir -p ${workdir} && cd ${workdir} && ${step.command}`,
      ];
      await inMounts(mounts, ['chroot', root, ...inside]);
    } else if (from) {
      const other = `${upper}.from`;
      mkdirSync(other, { recursive: true });
      mounts.push(mountWords(from.layers, other));
      await inMounts(mounts, ['sh', '-c', copyWords(step, other, root, workdir)]);
      rmSync(other, { recursive: true });
    } else {
      const context = `${upper}.context`;
      copyContext(step, context);
      await inMounts(mounts, ['sh', '-c', copyWords(step, context, root, workdir)]);
      rmSync(context, { recursive: true });
    }
  } finally {
    for (const folder of [work, root]) rmSync(folder, { recursive: true, force: true });
  }
}

/** Command that mounts layers, read-only without an upper one. */
export function mountWords(layers: readonly string[], root: string, upper?: string, work?: string): string {
  const lower = [...layers].reverse().join(':');
  if (upper === undefined && layers.length === 1) return `mount --bind -o ro ${lower} ${root}`;
  const writable = upper === undefined ? '' : `,upperdir=${upper},workdir=${work}`;
  return `mount -t overlay overlay -o lowerdir=${lower}${writable} ${root}`;
}

async function inMounts(mounts: readonly string[], argv: readonly string[]): Promise<void> {
  const script = `${mounts.join(' && ')} && exec "$@"`;
  await launch(['unshare', '--mount', 'sh', '-c', script, 'sh', ...argv]).success(STEP_MS);
}

/** COPY: the content of a folder, a file into a folder that is named with a slash or a dot at its end, else to that name. */
function copyWords(
  { sources, to }: Step & { do: 'copy' },
  from: string,
  root: string,
  workdir: string,
): string {
  const target = join(root, to.startsWith('/') ? to : join(workdir, to));
  const isFolder = /(^|\/)\.?$/.test(to);
  const words = sources.map(source => {
    const path = join(from, source);
    const into = isFolder
      ? `mkdir -p ${target} && cp -a ${path} ${target}`
      : `mkdir -p ${dirname(target)} && cp -a ${path} ${target}`;
    return `if [ -d ${path} ]; then mkdir -p ${target} && cp -a ${path}/. ${target}; else ${into}; fi`;
  });
  return `set -e; ${words.join('; ')}`;
}

/** Files of the checkout that a builder is sent and that `step` copies. */
function contextFiles({ sources }: Step & { do: 'copy' }): string[] {
  const isIgnored = ignores(readFileSync(join(CHECKOUT, '.dockerignore'), 'utf8'));
  const walk = (folder: string): string[] =>
    readdirSync(join(CHECKOUT, folder), { withFileTypes: true }).flatMap(entry => {
      const path = join(folder, entry.name);
      if (entry.isDirectory()) return ['.git', 'node_modules', 'dist'].includes(entry.name) ? [] : walk(path);
      return isIgnored(path) ? [] : [path];
    });
  return sources
    .flatMap(source => (statSync(join(CHECKOUT, source)).isDirectory() ? walk(source) : [source]))
    .sort();
}

function contextKey(step: Step & { do: 'copy' }): string {
  return hash(...contextFiles(step).flatMap(path => [path, readFileSync(join(CHECKOUT, path))]));
}

function copyContext(step: Step & { do: 'copy' }, to: string): void {
  for (const path of contextFiles(step)) {
    mkdirSync(dirname(join(to, path)), { recursive: true });
    cpSync(join(CHECKOUT, path), join(to, path), { preserveTimestamps: true });
  }
}

/** `node:24.21.0-bookworm-slim`, as far as it can be had without a registry. */
async function baseLayer(image: string): Promise<string> {
  const [, version, suite] = /^node:([\d.]+)-(\w+)-slim$/.exec(image)!;
  return layer(hash(image, 'base 1'), async folder => {
    const slim = ['doc', 'man', 'locale', 'info'].map(name => `--dpkgopt=path-exclude=/usr/share/${name}/*`);
    const debian = ['mmdebstrap', '--variant=minbase', ...slim, suite!, folder];
    await launch(debian).success(STEP_MS);
    const archive = `${folder}.node`;
    mkdirSync(archive);
    const name = `node-${process.platform}-${process.arch}@${version}`;
    await launch(['npm', 'pack', '--silent', name], { cwd: archive }).success(STEP_MS);
    const wanted = ['bin', 'include'].map(part => `package/${part}`);
    const unpack = [
      'tar',
      '-xzf',
      join(archive, readdirSync(archive)[0]!),
      '--strip-components=1',
      '-C',
      `${folder}/usr/local`,
    ];
    must([...unpack, '--no-same-owner', ...wanted]);
    rmSync(archive, { recursive: true });
    const npm = join(must(['npm', 'root', '-g']).trim(), 'npm');
    cpSync(npm, `${folder}/usr/local/lib/node_modules/npm`, { recursive: true });
    symlinkSync('../lib/node_modules/npm/bin/npm-cli.js', `${folder}/usr/local/bin/npm`);
  });
}

function removeStale(): void {
  for (const name of readdirSync(CACHE)) {
    const path = join(CACHE, name);
    if (Date.now() - statSync(path).mtimeMs > STALE_MS) rmSync(path, { recursive: true, force: true });
  }
}

function hash(...parts: (string | Uint8Array)[]): string {
  const digest = createHash('sha256');
  for (const part of parts) digest.update(part).update('\0');
  return digest.digest('hex').slice(0, 20);
}
