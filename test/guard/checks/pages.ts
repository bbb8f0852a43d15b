import { dirname, normalize } from 'node:path';
import type { Command } from 'commander';
import type { SourceFile } from './sources.ts';

/*
 * What a page promises: its links lead to a file and a heading, the files, npm scripts and commands of Ripstop that it names
 * exist, and so do the options; output that it quotes has the present meaning of a verdict.
 */

const blocks = /^```[\s\S]*?^```/gm;
const inline = /`[^`\n]*`/g;

/** Anchors of the headings of a page, as GitHub makes them. */
function anchorsOf(text: string): Set<string> {
  const headings = [...text.replace(blocks, '').matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) => heading);
  return new Set(
    headings.map(heading =>
      heading
        .toLowerCase()
        .replace(/[^\p{L}\p{N}_\- ]/gu, '')
        .replaceAll(' ', '-'),
    ),
  );
}

/** Relative links of a page that lead to no file or to no heading. @param textOf text of a file, undefined if there is none */
export function deadLinks(
  { path, text }: SourceFile,
  textOf: (path: string) => string | undefined,
): string[] {
  const prose = text.replace(blocks, '').replace(inline, '');
  const targets = [...prose.matchAll(/\]\(([^)\s]+)[^)]*\)/g)].map(([, target = '']) => target);
  return targets
    .filter(target => {
      if (/^[a-z]+:/i.test(target)) return false;
      const [file = '', anchor] = target.split('#');
      const found = file === '' ? text : textOf(normalize(`${dirname(path)}/${decodeURIComponent(file)}`));
      return found === undefined || (anchor !== undefined && !anchorsOf(found).has(anchor));
    })
    .map(target => `${path}: ${target}`);
}

/** Paths of the repository in inline code that lead nowhere. @param isThere a test may be named without its extension */
export function deadPaths({ path, text }: SourceFile, isThere: (path: string) => boolean): string[] {
  const codes = [...text.replace(blocks, '').matchAll(inline)].map(([code]) => code.slice(1, -1));
  return codes
    .filter(code => /^(?:src|encap|bench|test|docs|\.ci|\.github|\.vscode)\/[\w./-]*$/.test(code))
    .filter(code => !isThere(code) && !isThere(`${code}.test.ts`))
    .map(code => `${path}: ${code}`);
}

interface Meaning {
  readonly name: string;
  readonly drop: boolean;
  readonly meaning: string;
  readonly remedy?: string;
}

/**
 * Quoted output that gives a lost frame's verdict another meaning than it has: `NAME (MEANING)`, `NAME: MEANING`,
 * `NAME, MEANING`, also when the line is wrapped, `NAME: REMEDY`, and a line of `ripstop drops` with the meaning in the next one.
 */
export function otherMeanings({ path, text }: SourceFile, verdicts: readonly Meaning[]): string[] {
  const quoted = [...text.matchAll(blocks)].map(([block]) => block.replace(/\n {10,}/g, ' ')).join('\n');
  return verdicts
    .filter(({ drop }) => drop)
    .flatMap(({ name, meaning, remedy = meaning }) =>
      [
        ...quoted.matchAll(
          new RegExp(`(?<![\\w-])${name}(?: \\(|: |, | +(?:egress|ingress) .*\\n {2})(?=[a-z])(.*)`, 'g'),
        ),
      ]
        .filter(([, said = '']) => !said.startsWith(meaning) && !said.startsWith(remedy))
        .map(([, said]) => `${path}: ${name}, ${said}`),
    );
}

/** Code of a page: blocks and inline code, with continued lines joined. */
function codeOf(text: string): string[] {
  const fenced = [...text.matchAll(blocks)].map(([block]) => block.replace(/\\\n\s*/g, ' '));
  const rest = text.replace(blocks, '');
  return [
    ...fenced.flatMap(block => block.split('\n').slice(1, -1)),
    ...[...rest.matchAll(inline)].map(([code]) => code.slice(1, -1)),
  ];
}

/** npm scripts that a page names and package.json lacks. */
export function missingScripts({ path, text }: SourceFile, scripts: readonly string[]): string[] {
  return codeOf(text)
    .flatMap(line => [...line.matchAll(/\bnpm (?:(test)\b|run (?:--silent )?([\w:-]+))/g)])
    .map(([, test, name]) => test ?? name ?? '')
    .filter(name => !scripts.includes(name))
    .map(name => `${path}: npm run ${name}`);
}

/**
 * Commands and options of Ripstop that a page shows and the command line lacks.
 *
 * @param further options by command, of commands that parse their options themselves
 */
export function missingCommands(
  { path, text }: SourceFile,
  program: Command,
  further: Readonly<Record<string, readonly string[]>> = {},
): string[] {
  return codeOf(text).flatMap(line =>
    // `ripstop` at the beginning of a command, up to its end.
    [...line.matchAll(/(?:^|[$;&|(#] ?|npx |\d )ripstop (?![a-z]+: )([a-z][^;&|#)]*)/g)].flatMap(
      ([, call = '']) => {
        const words = call.trim().split(/\s+/);
        let command: Command | undefined = program;
        const options = program.options.flatMap(({ long }) => long ?? []);
        for (const word of words.filter(word => /^[a-z][a-z-]*$/.test(word))) {
          const next: Command | undefined = command.commands.find(child => child.name() === word);
          if (!next) {
            if (command === program) return [`${path}: ripstop ${word}`];
            break;
          }
          command = next;
          options.push(...command.options.flatMap(({ long }) => long ?? []), ...(further[word] ?? []));
        }
        return words
          .map(word => /^--[a-z][a-z-]*/.exec(word.replace(/^\[/, ''))?.[0])
          .filter(option => option !== undefined)
          .filter(option => option !== '--help' && !options.includes(option))
          .map(option => `${path}: ripstop ${words[0]} ${option}`);
      },
    ),
  );
}
