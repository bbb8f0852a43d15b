/*
 * A reader of docs/deploy/Dockerfile: the instructions that it uses, with ARG and ENV put in. Anything else is an error,
 * so that a Dockerfile that grows is not half built.
 */

export type Step =
  | { readonly do: 'run'; readonly command: string }
  | {
      readonly do: 'copy';
      readonly from: string | undefined;
      readonly sources: string[];
      readonly to: string;
    };

/** What the image tells a runtime. */
export interface ImageConfig {
  readonly Env: string[];
  readonly Labels: Record<string, string>;
  WorkingDir: string;
  User: string;
  Entrypoint: string[];
  Cmd: string[];
}

export interface Stage {
  readonly name: string;
  /** Image or earlier stage that it begins with. */
  readonly base: string;
  /** With working directory and variables as they are at that step. */
  readonly steps: { readonly step: Step; readonly workdir: string; readonly env: string[] }[];
  readonly config: ImageConfig;
}

/** @throws Error for an instruction that is not known here */
export function readDockerfile(text: string): Stage[] {
  const stages: Stage[] = [];
  const global: Record<string, string> = {};
  let args: Record<string, string> = {};
  const lines = text.replace(/^\s*#.*\n/gm, '').replace(/\\\n/g, ' ');
  for (const line of lines.split('\n').filter(one => one.trim() !== '')) {
    const [, word, raw] = /^(\w+)\s+(.*)$/.exec(line.trim())!;
    const stage = stages.at(-1);
    const filled = raw!.replace(/\$\{(\w+)\}/g, (_, name: string) => args[name] ?? '');
    if (word === 'ARG') {
      const [name, value = global[filled] ?? ''] = filled.split('=');
      args[name!] = value;
      if (!stage) global[name!] = value;
    } else if (word === 'FROM') {
      const [base, , name = String(stages.length)] = filled.split(/\s+/);
      const inherited = stages.find(one => one.name === base)?.config;
      stages.push({ name, base: base!, steps: [], config: freshConfig(inherited) });
      args = { ...global };
    } else if (!stage) throw new Error(`${word} before FROM`);
    else instruct(stage, word!, filled);
  }
  return stages;
}

function freshConfig(from?: ImageConfig): ImageConfig {
  const path = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
  const empty = { Env: [path], Labels: {}, WorkingDir: '/', User: '', Entrypoint: [], Cmd: [] };
  return structuredClone(from ?? empty);
}

function instruct({ steps, config }: Stage, word: string, text: string): void {
  const at = { workdir: config.WorkingDir, env: [...config.Env] };
  switch (word) {
    case 'RUN':
      steps.push({ step: { do: 'run', command: text }, ...at });
      return;
    case 'COPY': {
      const words = text.split(/\s+/);
      const from = /^--from=(.*)$/.exec(words[0]!)?.[1];
      const paths = from === undefined ? words : words.slice(1);
      steps.push({ step: { do: 'copy', from, sources: paths.slice(0, -1), to: paths.at(-1)! }, ...at });
      return;
    }
    case 'ENV':
      config.Env.push(text);
      return;
    case 'LABEL':
      for (const [, name, value] of text.matchAll(/(\S+?)="([^"]*)"/g)) config.Labels[name!] = value!;
      return;
    case 'WORKDIR':
      config.WorkingDir = text;
      return;
    case 'USER':
      config.User = text;
      return;
    case 'ENTRYPOINT':
      config.Entrypoint = JSON.parse(text) as string[];
      return;
    case 'CMD':
      config.Cmd = JSON.parse(text) as string[];
      return;
    default:
      throw new Error(`the test cannot do ${word} of the Dockerfile`);
  }
}

/** True for a file that .dockerignore keeps out: patterns of whole path parts, `**` and `!`, the last match wins. */
export function ignores(patterns: string): (path: string) => boolean {
  const rules = patterns
    .split('\n')
    .filter(line => line.trim() !== '' && !line.startsWith('#'))
    .map(line => {
      const keeps = line.startsWith('!');
      const pattern = (keeps ? line.slice(1) : line)
        .replace(/[.+^${}()|[\]\\]/g, '\\$&')
        .replaceAll('**/', '\0')
        .replaceAll('*', '[^/]*')
        .replaceAll('\0', '(?:.*/)?');
      return { keeps, matches: new RegExp(`^${pattern}(?:/|$)`) };
    });
  return path => {
    const last = rules.findLast(({ matches }) => matches.test(path));
    return last !== undefined && !last.keeps;
  };
}
