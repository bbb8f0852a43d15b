// Starts one plugin in a Node of its own: `node launch.cjs <plugin>`. The bundle beside it is compiled from a cache that
// `--cache` writes when the plugins are built: compiling it each time would take a fifth of the start. A cache fits one version of
// Node, so that the npm package has none: `ripstop cni install --standalone` calls `--cache-missing`. Most calls need few of Node's
// own modules, so that those which take long to load are loaded at their first use.
'use strict';
const { existsSync, readFileSync, renameSync, writeFileSync } = require('node:fs');
const { Script } = require('node:vm');

const bundle = `${__dirname}/plugins.cjs`;
const cache = `${__dirname}/plugins-${process.version}-${process.arch}.cache`;

const SLOW = /^(node:(child_process|crypto|fs\/promises|net|timers\/promises|util)|re2js)$/;

/** A module, or what stands for a slow one: its members are those of the module, which the first one loads. Not for `import()`. */
function requireLate(name) {
  const file = name === 're2js' ? './re2js.cjs' : name;
  return SLOW.test(name) ? new Proxy({}, { get: (_, member) => require(file)[member] }) : require(file);
}

function load(cachedData) {
  // The bundler escapes what is not ASCII.
  const source = readFileSync(bundle, 'latin1');
  const wrapped = `(function (exports, require, module, __filename, __dirname) {${source}\n})`;
  const script = new Script(wrapped, { filename: bundle, cachedData });
  const loaded = { exports: {} };
  script.runInThisContext()(loaded.exports, requireLate, loaded, bundle, __dirname);
  return { script, plugins: loaded.exports };
}

function readCache() {
  try {
    return readFileSync(cache);
  } catch {
    return undefined;
  }
}

async function writeCache() {
  const { setFlagsFromString } = require('node:v8');
  // Every function is compiled, not only those that have been run here. A cache fits the flags with which it is written.
  setFlagsFromString('--no-lazy');
  const { script, plugins } = load(undefined);
  await plugins.loadEveryPlugin();
  setFlagsFromString('--lazy');
  const draft = `${cache}.${process.pid}`;
  writeFileSync(draft, script.createCachedData());
  renameSync(draft, cache);
}

const task = process.argv[2] ?? '';
if (task === '--cache' || (task === '--cache-missing' && !existsSync(cache))) writeCache();
else if (task !== '--cache-missing') load(readCache()).plugins.runPluginProcess(task, process.argv.slice(3));
