/** A garbage collection, as `node --trace-gc` says it. */
export interface Collection {
  /** Address of the V8 isolate: one a thread. */
  isolate: string;
  /** Milliseconds since that isolate began. */
  atMs: number;
  /** Forced by `gc()`. */
  forced: boolean;
}

const LINE = /^\[\d+:(0x[0-9a-f]+)(?::\d+)?\]\s+(\d+) ms: (?:Scavenge|Mark-Compact|Minor)(.*)$/gm;

/** The collections in what a process said. */
export function collectionsIn(text: string): Collection[] {
  return [...text.matchAll(LINE)].map(([, isolate = '', atMs = '', rest = '']) => ({
    isolate,
    atMs: Number(atMs),
    forced: rest.includes('testing'),
  }));
}

/**
 * V8 optimises a function on the thread that runs it, after a number of calls. By default another thread does, and on a busy
 * machine the warm-up may be over before its code is ready. Code that is not optimised allocates.
 */
export const COMPILE_FLAG = '--no-concurrent-recompilation';

/**
 * Flags that trace collections and force one at the start of every thread: so one sees that the tracing reaches a thread
 * although nothing is ever collected there, and knows the main thread, which is the first that is forced.
 */
export const TRACE_FLAGS = [
  COMPILE_FLAG,
  '--trace-gc',
  '--expose-gc',
  '--import',
  'data:text/javascript,gc()',
];

/** Milliseconds after the begin of a thread. */
export interface Span {
  from: number;
  to: number;
}

/** Threads but the main one and those of Node itself, which run no program, and what was collected in them within the span. */
export function workerCollections(
  text: string,
  { from, to }: Span,
): { workers: number; collections: number } {
  const all = collectionsIn(text);
  const [, ...others] = new Set(all.filter(({ forced }) => forced).map(({ isolate }) => isolate));
  const workers = new Set(others);
  const within = all.filter(({ isolate, atMs }) => workers.has(isolate) && atMs > from && atMs <= to);
  return { workers: workers.size, collections: within.length };
}
