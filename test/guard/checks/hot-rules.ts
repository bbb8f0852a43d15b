import {
  type Comment,
  type FunctionDeclaration,
  type Identifier,
  type Node,
  type Program,
  parse,
} from 'acorn';

/*
 * What a function marked `@hot` may hold. It runs once a frame or once a batch: it allocates nothing, so that the
 * collector never runs; calls nothing that the compiler cannot see, so that it stays inlined; and throws nothing, as
 * traffic faults are verdicts. Read from the compiled JavaScript, where types are gone and comments remain.
 */

/** Node types and why they are out. */
const FORBIDDEN: Readonly<Record<string, string>> = {
  NewExpression: 'allocates with new',
  ObjectExpression: 'allocates an object',
  ArrayExpression: 'allocates an array',
  ArrowFunctionExpression: 'makes a closure',
  FunctionExpression: 'makes a closure',
  FunctionDeclaration: 'makes a closure',
  ClassExpression: 'makes a class',
  ClassDeclaration: 'makes a class',
  SpreadElement: 'spreads',
  RestElement: 'gathers rest arguments',
  TemplateLiteral: 'builds a string',
  TaggedTemplateExpression: 'builds a string',
  TryStatement: 'catches',
  ThrowStatement: 'throws',
  AwaitExpression: 'awaits',
  YieldExpression: 'yields',
  ForOfStatement: 'iterates with for-of',
  ForInStatement: 'iterates with for-in',
  ArrayPattern: 'destructures by iterating',
  ImportExpression: 'imports',
};

/*
 * `const { table, slab } = batch;` is allowed: it is two loads. In a parameter it would make each caller build an
 * object, and with rest or defaults it does more than load.
 */

/** Methods that may be called on any object, and what they belong to. */
const METHODS = new Set([
  // DataView, without the BigInt ones
  ...['Int8', 'Uint8', 'Int16', 'Uint16', 'Int32', 'Uint32', 'Float64'].flatMap(type => [
    `get${type}`,
    `set${type}`,
  ]),
  // typed arrays
  'copyWithin',
  'fill',
  // FrameDevice and DatagramPort, once a batch
  'readBatch',
  'writeBatch',
  'sendBatch',
  'receiveBatch',
  // BatchTap, once a batch
  'onRead',
  'onDecided',
  'onDone',
  'onLost',
  // SlowPath, for batches with frames that need it
  'handle',
  'reportSendErrors',
  // StageClocks, while stages are timed
  'now',
  'waited',
]);

/** Objects whose methods are all plain functions: of numbers, of shared memory, of the addon. */
const NAMESPACES = new Set(['Math', 'Atomics', 'native']);

type AnyNode = Node & Record<string, unknown>;

export interface HotFunction {
  readonly name: string;
  readonly faults: readonly string[];
  /** Functions called by name, to be looked up where they are declared. */
  readonly calls: readonly string[];
}

export interface HotModule {
  readonly functions: readonly HotFunction[];
  /** Marks that are not before a function declaration. */
  readonly stray: number;
  /** Imported name by local name: `local -> [exported, module]`. */
  readonly imported: ReadonlyMap<string, readonly [string, string]>;
}

/** The hot functions of a compiled module and what is wrong with them. */
export function hotFunctions(code: string): HotModule {
  const comments: Comment[] = [];
  const program = parse(code, { ecmaVersion: 'latest', sourceType: 'module', onComment: comments });
  const marks = comments.filter(
    ({ type, value }) => type === 'Block' && value.startsWith('*') && /@hot\s*$/m.test(value),
  );
  const { declared, imported } = namesOf(program);
  const callable = new Set([...declared.map(({ node }) => node.id.name), ...imported.keys()]);
  const functions = marks.flatMap(mark => {
    const found = declared.find(
      ({ start }) => start >= mark.end && code.slice(mark.end, start).trim() === '',
    );
    return found ? [judge(found.node, callable)] : [];
  });
  return { functions, stray: marks.length - functions.length, imported };
}

type Declared = { start: number; node: FunctionDeclaration };

function namesOf(program: Program): {
  declared: Declared[];
  imported: Map<string, readonly [string, string]>;
} {
  const declared: Declared[] = [];
  const imported = new Map<string, readonly [string, string]>();
  for (const statement of program.body) {
    const inner = statement.type === 'ExportNamedDeclaration' ? statement.declaration : statement;
    if (inner?.type === 'FunctionDeclaration')
      declared.push({ start: statement.start, node: inner as FunctionDeclaration });
    if (statement.type !== 'ImportDeclaration') continue;
    for (const specifier of statement.specifiers) {
      const name =
        specifier.type === 'ImportSpecifier' ? (specifier.imported as Identifier).name : specifier.local.name;
      imported.set(specifier.local.name, [name, String(statement.source.value)]);
    }
  }
  return { declared, imported };
}

function judge(node: FunctionDeclaration, callable: ReadonlySet<string>): HotFunction {
  const faults: string[] = [];
  const calls = new Set<string>();
  const name = node.id.name;
  const aliases = new Map<string, string>();
  if (node.async || node.generator) faults.push(`${name} is async or a generator`);
  const visit = (child: AnyNode): void => {
    const why = faultOf(child);
    if (why !== undefined) faults.push(`${name} ${why}`);
    if (child.type === 'VariableDeclarator') noteAlias(child, callable, aliases);
    if (child.type === 'CallExpression') {
      const called = calleeOf(child, callable, aliases);
      if (called.fault !== undefined) faults.push(`${name} calls ${called.fault}`);
      if (called.name !== undefined) calls.add(called.name);
    }
    for (const next of childrenOf(child)) visit(next);
  };
  if (node.params.some(param => param.type !== 'Identifier'))
    faults.push(`${name} takes more than plain parameters`);
  for (const part of [...node.params, node.body]) visit(part as unknown as AnyNode);
  return { name, faults, calls: [...calls] };
}

function faultOf(node: AnyNode): string | undefined {
  if (FORBIDDEN[node.type] !== undefined) return FORBIDDEN[node.type];
  if (node.type === 'Identifier' && node.name === 'arguments') return 'reads arguments';
  if (node.type === 'Literal' && node.regex !== undefined) return 'makes a regular expression';
  if (node.type === 'Literal' && typeof node.bigint === 'string') return 'uses BigInt';
  if (node.type === 'ObjectPattern' && !(node.properties as AnyNode[]).every(isPlainLoad))
    return 'destructures with more than plain names';
  if (node.type === 'UnaryExpression' && node.operator === 'delete') return 'deletes a property';
  const joins = node.type === 'BinaryExpression' || node.type === 'AssignmentExpression';
  const operands = [node.left, node.right] as AnyNode[];
  if (joins && String(node.operator).startsWith('+') && operands.some(isText)) return 'joins strings';
  return undefined;
}

function isPlainLoad(property: AnyNode): boolean {
  return (
    property.type === 'Property' && !property.computed && (property.value as AnyNode).type === 'Identifier'
  );
}

function isText(node: AnyNode): boolean {
  return node.type === 'Literal' && typeof node.value === 'string';
}

/** `const find = findMac;` makes `find` as good as the imported name. */
function noteAlias(node: AnyNode, callable: ReadonlySet<string>, aliases: Map<string, string>): void {
  const id = node.id as AnyNode;
  const init = node.init as AnyNode | null;
  if (id.type === 'Identifier' && init?.type === 'Identifier' && callable.has(String(init.name)))
    aliases.set(String(id.name), String(init.name));
}

function calleeOf(
  call: AnyNode,
  callable: ReadonlySet<string>,
  aliases: ReadonlyMap<string, string>,
): { name?: string; fault?: string } {
  const callee = call.callee as AnyNode;
  if (callee.type === 'Identifier') {
    const name = aliases.get(String(callee.name)) ?? String(callee.name);
    return callable.has(name) ? { name } : { fault: `${name}, which is neither declared nor imported here` };
  }
  if (callee.type !== 'MemberExpression' || callee.computed || call.optional || callee.optional)
    return { fault: 'something that only the run decides' };
  const method = String((callee.property as AnyNode).name);
  const object = callee.object as AnyNode;
  const owner = object.type === 'MemberExpression' ? (object.property as AnyNode).name : object.name;
  return NAMESPACES.has(String(owner)) || METHODS.has(method) ? {} : { fault: `the method ${method}` };
}

function childrenOf(node: AnyNode): AnyNode[] {
  return Object.values(node)
    .flat()
    .filter(
      (value): value is AnyNode =>
        typeof value === 'object' && value !== null && typeof (value as AnyNode).type === 'string',
    );
}
