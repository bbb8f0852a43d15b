import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { languageFaults } from './checks/language-rules.ts';
import { ROOT, sourcesBelow } from './checks/sources.ts';

/** They hold what must not be written. */
const OWN = /^test\/guard\/(language\.test|checks\/language-rules)\.ts$/;

const PAGES_AT_TOP = readdirSync(ROOT).filter(name => name.endsWith('.md'));
const CODE = ['.ts', '.tsx', '.c', '.cc', '.h'];
const files = [
  ...PAGES_AT_TOP.map(path => ({ path, text: readFileSync(join(ROOT, path), 'utf8') })),
  ...sourcesBelow('docs', ['.md', '.yml', '.yaml', '.service', 'Dockerfile']),
  ...sourcesBelow('bench/results', ['.md']),
  ...sourcesBelow('.github', ['.md', '.yml']),
  ...['src', 'encap', 'bench', 'test'].flatMap(folder => sourcesBelow(folder, CODE)),
].filter(({ path }) => !OWN.test(path));

t.test('prose of documents, comments and messages: plain technical English', async t => {
  t.ok(files.length > 800, `${files.length} files`);
  t.same(files.flatMap(languageFaults), []);
});

const BAD: readonly (readonly [string, string])[] = [
  ['a.ts', '// one descriptor a frame'],
  ['a.ts', '/*\n * A worker a\n * direction.\n */'],
  ['a.ts', "log.info('the store is ' +\n  'away')"],
  ['a.ts', `f(\`mended \${x ? \`a \${y}\` : "b"}: someone\`)`],
  ['a.ts', `f(\`\${a({ b: 1 })} gives way\`)`],
  ['a.ts', 'const quote = /[\'"`]/; // goes on with what it knows'],
  ['a.cc', "constexpr int kMany = 1'000;  // superframes"],
  ['a.md', 'An interface\na point.'],
  ['a.md', 'The rule. Who finds another is refused.'],
  ['a.md', 'A timeout is no\nreason for an error.'],
];

const GOOD: readonly (readonly [string, string])[] = [
  ['a.ts', '// One descriptor per frame; a lease of a node; there is no other; it is no longer used.'],
  ['a.ts', 'const mended = wish(beside); // repaired'],
  ['a.ts', "import { beside } from './beside.ts';"],
  ['a.ts', '// a list and\nconst frame = 1;'],
  ['a.cc', 'int x = 1 / 2; /* "quoted" */ char c = \'"\';'],
  ['a.md', '`nobody` owns it.\n\n```\nwhat becomes of\n```\n'],
  ['a.md', 'Who uses it?'],
  ['a.md', '- This has a list\n- a frame'],
];

t.test('the check of the language: finds what it looks for, and nothing else', async t => {
  for (const [path, text] of BAD) t.equal(languageFaults({ path, text }).length, 1, text);
  for (const [path, text] of GOOD) t.same(languageFaults({ path, text }), [], text);
  t.same(languageFaults({ path: 'a.ts', text: 'f();\n// it is\n// kept anew\n' }), [
    'a.ts:3: "anew"; write: again, recently',
  ]);
});
