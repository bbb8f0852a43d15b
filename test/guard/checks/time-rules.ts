import { type Node, type Program, parse } from 'acorn';

/*
 * A test must not fail because the machine is slow or busy. It waits for a condition with a generous bound and asserts
 * what can be counted without a clock; figures belong into the bench. This looks for what contradicts that, in compiled
 * JavaScript:
 *
 *   - a comparison of an elapsed time or of what depends on one (lost pings of a stream, a rate), except as the
 *     condition of a loop and against 0
 *   - a fixed sleep outside a loop, which is either too short or a waste
 *   - a wait or a call (`timeoutMs`) that gives up early, except one that the test expects to fail (`t.rejects`), and a time
 *     limit of a single test or file: test/runner/run-files.ts has one for all
 *   - a title that promises a time
 */

type AnyNode = Node & Record<string, unknown>;

/** The shortest bound of a wait, ms: PATIENCE_MS, the bound of the waits of bench/lab that are given none. */
export const PATIENT_MS = 120_000;

/** A shorter sleep is the turn that some work takes, not a wait for something. */
const SLEEP_MS = 10;

/** Members and variables that hold an elapsed time, or a count that is proportional to one. */
const TIMED = /^(gapMs|tookMs|elapsed\w*|workerLagMs|lagMs|bits_per_second|rate)$/;
const RELATIONS = new Set(['<', '<=', '>', '>=']);
/** Waits by the name of the function, and the place of their bound among the arguments. */
const WAITS: Readonly<Record<string, number>> = {
  until: 2,
  saying: 1,
  success: 0,
  ready: 1,
  setDefaultTimeout: 0,
};
const TITLE =
  /\b(within|under|in|after)\s+(less than\s+)?(a|an|one|two|three|\d+)\s+(second|seconds|milliseconds|ms)\b|well under/i;

const HURRIED = `gives up after less than ${PATIENT_MS / 1000} s`;

/** What contradicts the rules in a compiled test, one line each. */
export function timeFaults(code: string): string[] {
  const program = parse(code, { ecmaVersion: 'latest', sourceType: 'module' });
  const clocks = namesOf(program);
  const faults: string[] = [];
  const report = (node: AnyNode, why: string) =>
    faults.push(`${why}: ${code.slice(node.start, node.end).replace(/\s+/g, ' ').slice(0, 100)}`);

  /**
   * @param inLoop a loop of the same function surrounds the node
   * @param mayFail the node is an argument of `t.rejects`
   */
  const visit = (node: AnyNode, inLoop: boolean, mayFail: boolean): void => {
    if (node.type === 'BinaryExpression' && RELATIONS.has(String(node.operator))) {
      if (isTimed(node, clocks)) report(node, 'compares a time or what depends on one');
    } else if (node.type === 'AwaitExpression' && isSleep(node.argument as AnyNode, code)) {
      if (!inLoop) report(node, 'sleeps; use until() or stays()');
    } else if (node.type === 'CallExpression') {
      const why = faultOfCall(node);
      if (why !== undefined && !(mayFail && why === HURRIED)) report(node, why);
    }
    const isLoop = /^(For|While|DoWhile)/.test(node.type);
    const isFunction = /Function/.test(node.type);
    const isRefusal = node.type === 'CallExpression' && nameOf(node.callee as AnyNode) === 'rejects';
    for (const [key, value] of Object.entries(node)) {
      for (const child of [value].flat()) {
        if (typeof (child as AnyNode | null)?.type !== 'string') continue;
        // The condition of a loop bounds it, and is not an assertion.
        if (isLoop && key === 'test') continue;
        visit(child as AnyNode, isLoop || (inLoop && !isFunction), mayFail || isRefusal);
      }
    }
  };
  visit(program as unknown as AnyNode, false, false);
  return faults;
}

/** Waits and calls of a compiled fixture that give up early, one line each. */
export function hurriedWaits(code: string): string[] {
  return timeFaults(code).filter(fault => fault.startsWith(HURRIED));
}

interface ClockNames {
  /** Variables that hold a reading of a clock. */
  readonly stamps: ReadonlySet<string>;
  /** Variables that hold the difference of two readings. */
  readonly elapsed: ReadonlySet<string>;
}

/** Variables by what they were declared with, to any depth of the program. */
function namesOf(program: Program): ClockNames {
  const stamps = new Set<string>();
  const elapsed = new Set<string>();
  const visit = (node: AnyNode): void => {
    if (node.type === 'VariableDeclarator' && (node.id as AnyNode).type === 'Identifier' && node.init) {
      const name = String((node.id as AnyNode).name);
      const init = node.init as AnyNode;
      if (isElapsed(init, { stamps, elapsed })) elapsed.add(name);
      else if (isReading(init) || (init.type === 'BinaryExpression' && isReading(init.left as AnyNode)))
        stamps.add(name);
    }
    for (const child of childrenOf(node)) visit(child);
  };
  visit(program as unknown as AnyNode);
  return { stamps, elapsed };
}

/** `performance.now()`, `Date.now()`, `process.hrtime()`, `process.hrtime.bigint()`. */
function isReading(node: AnyNode): boolean {
  if (node.type !== 'CallExpression') return false;
  const callee = node.callee as AnyNode;
  if (callee.type !== 'MemberExpression') return false;
  const [object, property] = [callee.object as AnyNode, callee.property as AnyNode];
  if (property.name === 'now') return object.name === 'performance' || object.name === 'Date';
  return property.name === 'hrtime' || (object.property as AnyNode | undefined)?.name === 'hrtime';
}

/** The difference of two readings, however wrapped: `(performance.now() - from) / 1000`, `Math.round(ms)`. */
function isElapsed(node: AnyNode, clocks: ClockNames): boolean {
  if (node.type === 'Identifier') return clocks.elapsed.has(String(node.name));
  if (node.type === 'BinaryExpression') {
    const [left, right] = [node.left as AnyNode, node.right as AnyNode];
    const isStamp = (one: AnyNode) =>
      isReading(one) || (one.type === 'Identifier' && clocks.stamps.has(String(one.name)));
    if (node.operator === '-' && right.type !== 'Literal' && (isStamp(left) || isStamp(right))) return true;
    return isElapsed(left, clocks) || isElapsed(right, clocks);
  }
  if (node.type === 'CallExpression') {
    const callee = node.callee as AnyNode;
    const isMath = callee.type === 'MemberExpression' && (callee.object as AnyNode).name === 'Math';
    return isMath && (node.arguments as AnyNode[]).some(one => isElapsed(one, clocks));
  }
  return false;
}

function isTimed(comparison: AnyNode, clocks: ClockNames): boolean {
  const sides = [comparison.left as AnyNode, comparison.right as AnyNode];
  if (sides.some(side => side.type === 'Literal' && Number(side.value) === 0)) return false;
  if (sides.some(side => isElapsed(side, clocks))) return true;
  if (sides.some(side => TIMED.test(nameOf(side)))) return true;
  // Lost pings of a stream, which are proportional to a time, have no bound but none.
  if (String(comparison.operator).startsWith('<') && nameOf(sides[0]!) === 'lost') return true;
  // A reading against a deadline.
  return (
    sides.some(isReading) &&
    sides.some(side => side.type === 'Identifier' && clocks.stamps.has(String(side.name)))
  );
}

/** The name of a variable or of the member that is read last. */
function nameOf(node: AnyNode): string {
  return String((node.property as AnyNode | undefined)?.name ?? node.name);
}

/** `new Promise(resolve => setTimeout(resolve, 300))` with a fixed time, or a call of what timers/promises exports as `sleep`. */
function isSleep(node: AnyNode, code: string): boolean {
  if (node.type === 'CallExpression') return (node.callee as AnyNode).name === 'sleep';
  if (node.type !== 'NewExpression' || (node.callee as AnyNode).name !== 'Promise') return false;
  const pattern = /^new Promise\(\s*\(?(\w+)\)?\s*=>\s*(?:void\s+)?setTimeout\(\s*\1\s*,\s*([\d_]+)\s*\)/;
  const [, , ms = '0'] = pattern.exec(code.slice(node.start, node.end)) ?? [];
  return Number(ms.replaceAll('_', '')) >= SLEEP_MS;
}

function faultOfCall(call: AnyNode): string | undefined {
  const callee = call.callee as AnyNode;
  const given = call.arguments as AnyNode[];
  const name = nameOf(callee);
  const place = WAITS[name];
  const bound = place === undefined ? undefined : given[place];
  if ([bound, ...given.map(one => memberOf(one, 'timeoutMs'))].some(isHurried)) return HURRIED;
  const isTap = (callee.object as AnyNode | undefined)?.name === 't';
  if (isTap && name === 'setTimeout') return 'has a time limit of its own';
  if (!isTap || name !== 'test') return undefined;
  const [title, options] = given;
  const text = title?.type === 'TemplateLiteral' ? titleOf(title) : String(title?.value ?? '');
  if (TITLE.test(text)) return 'promises a time';
  return memberOf(options, 'timeout')?.type === 'Literal' ? 'has a time limit of its own' : undefined;
}

function isHurried(bound: AnyNode | undefined): boolean {
  return bound?.type === 'Literal' && typeof bound.value === 'number' && bound.value < PATIENT_MS;
}

/** The value of a member of an object that is written out. */
function memberOf(object: AnyNode | undefined, name: string): AnyNode | undefined {
  const properties = (object?.properties as AnyNode[] | undefined) ?? [];
  return properties.find(({ key }) => (key as AnyNode | undefined)?.name === name)?.value as
    | AnyNode
    | undefined;
}

function titleOf(template: AnyNode): string {
  return (template.quasis as { value: { cooked: string } }[]).map(part => part.value.cooked).join('1');
}

function childrenOf(node: AnyNode): AnyNode[] {
  return Object.values(node)
    .flat()
    .filter((value): value is AnyNode => typeof (value as AnyNode | null)?.type === 'string');
}
