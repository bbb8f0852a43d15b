// Starts one plugin in a Node of its own: `node launch.cjs <plugin>`. The bundle beside it is compiled from a cache that
// `--cache` writes when the plugins are built: compiling it each time would take a fifth of the start. A cache fits one version of
// Node, so that the npm package has none: `ripstop cni install --standalone` calls `--cache-missing`.
'use strict';
const { existsSync, readFileSync, renameSync, writeFileSync } = require('node:fs');
const { Script } = require('node:vm');

const bundle = `${__dirname}/plugins.cjs`;
const cache = `${__dirname}/plugins-${process.version}-${process.arch}.cache`;

function load(cachedData) {
  const source = readFileSync(bundle, 'utf8');
  const wrapped = `(function (exports, require, module, __filename, __dirname) {${source}\n})`;
  const script = new Script(wrapped, { filename: bundle, cachedData });
  const loaded = { exports: {} };
  script.runInThisContext()(loaded.exports, require, loaded, bundle, __dirname);
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
  const { script, plugins } = load(undefined);
  // What has been run is in the cache compiled; the rest is compiled when it is called.
  await plugins.loadEveryPlugin();
  const draft = `${cache}.${process.pid}`;
  writeFileSync(draft, script.createCachedData());
  renameSync(draft, cache);
}

const task = process.argv[2] ?? '';
if (task === '--cache' || (task === '--cache-missing' && !existsSync(cache))) writeCache();
else if (task !== '--cache-missing') load(readCache()).plugins.runPluginProcess(task, process.argv.slice(3));
