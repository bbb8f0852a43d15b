import { type Node, parse } from 'acorn';

/*
 * The commands that compiled JavaScript runs: the first word of an argument list that is given to something that starts
 * processes, directly or by a variable, also behind `unshare`, `nsenter`, `timeout` and `env`. The text of shell scripts
 * is not read.
 */

type AnyNode = Node & Record<string, unknown>;

/** What starts a process, by its name. Its first argument, or the last array among its arguments, is the command line. */
const STARTERS = new Set([
  ...['attempt', 'must', 'launch', 'runCommand', 'inNetworkOf', 'onNode'],
  ...['spawn', 'spawnSync', 'execFile', 'execFileSync'],
]);

/** Names of the commands; paths and what only the run decides are left out. */
export function programsIn(code: string): string[] {
  if (![...STARTERS].some(name => code.includes(`${name}(`))) return [];
  const program = parse(code, { ecmaVersion: 'latest', sourceType: 'module' }) as unknown as AnyNode;
  const arrays = new Map<string, AnyNode>();
  walk(program, node => {
    const [id, init] = [node.id as AnyNode | undefined, node.init as AnyNode | null | undefined];
    if (node.type === 'VariableDeclarator' && id?.type === 'Identifier' && init?.type === 'ArrayExpression')
      arrays.set(String(id.name), init);
  });
  const found = new Set<string>();
  walk(program, node => {
    if (node.type !== 'CallExpression') return;
    const callee = node.callee as AnyNode;
    const name = String((callee.property as AnyNode | undefined)?.name ?? callee.name);
    if (!STARTERS.has(name)) return;
    const given = node.arguments as AnyNode[];
    // These take the command by itself and its arguments behind it.
    const isApart = /^(spawn|exec|runCommand)/.test(name);
    for (const word of isApart ? given.slice(0, 1) : given.flatMap(one => firstWords(one, arrays)))
      if (word.type === 'Literal' && typeof word.value === 'string') found.add(word.value);
  });
  return [...found].filter(name => /^[a-z][\w.+-]*$/.test(name)).sort();
}

/** The first element of an array, however it is put together. */
function firstWords(node: AnyNode, arrays: ReadonlyMap<string, AnyNode>): AnyNode[] {
  if (node.type === 'Identifier') {
    const array = arrays.get(String(node.name));
    return array ? firstWords(array, arrays) : [];
  }
  if (node.type === 'SpreadElement') return firstWords(node.argument as AnyNode, arrays);
  if (node.type !== 'ArrayExpression') return [];
  const elements = node.elements as AnyNode[];
  const [first] = elements;
  if (first?.type === 'SpreadElement') return firstWords(first, arrays);
  if (first?.type !== 'Literal') return [];
  const behind = /^(unshare|nsenter|timeout|env)$/.test(String(first.value)) ? commandBehind(elements) : [];
  return [first, ...behind];
}

/** The command behind the options, assignments and durations of a command that runs another one. */
function commandBehind(elements: readonly AnyNode[]): AnyNode[] {
  const next = elements
    .slice(1)
    .find(word => !(word.type === 'Literal' && /^(-.*|\d.*|.*=.*)$/.test(String(word.value))));
  return next?.type === 'Literal' ? [next] : [];
}

function walk(node: AnyNode, see: (node: AnyNode) => void): void {
  see(node);
  for (const key in node) {
    const value = node[key];
    if (typeof value !== 'object' || value === null) continue;
    if (Array.isArray(value)) {
      for (const one of value) if (typeof one?.type === 'string') walk(one, see);
    } else if (typeof (value as AnyNode).type === 'string') walk(value as AnyNode, see);
  }
}

/** What tests ask for with `skipUnless(...)` and contenders with `needs(...)`, capabilities and paths included. */
export function needsIn(code: string): string[] {
  const calls = [...code.matchAll(/\b(?:skipUnless|needs)\(([^()]*)\)/g)].map(match => match[1]!);
  return [...new Set(calls.flatMap(text => [...text.matchAll(/'([^']+)'/g)].map(match => match[1]!)))].sort();
}
