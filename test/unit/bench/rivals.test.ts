import { chmodSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { builtVersion, findRival } from '../../../bench/contenders/tunnels/built.ts';
import { CHECKOUT } from '../../../bench/lab/tool.ts';
import { installRivals } from '../../../bench/rivals/install.ts';
import { attempt } from '../../../src/lab/command.ts';
import { launch } from '../../../src/lab/proc.ts';

const folder = mkdtempSync(join(tmpdir(), 'rs-rivals-'));
t.teardown(() => rmSync(folder, { recursive: true }));

/** A program named `go` that has the versions of two modules, of which it can build some. */
function fakeGo(buildable: string): string {
  const go = join(folder, 'go');
  const text = `#!/bin/sh
case "$1" in
  list) case "$4" in *nebula) echo "$4 v1.0.0 v1.1.0 v1.2.0";; *) echo "$4";; esac;;
  install)
    shift 2
    for package; do
      case "$package" in ${buildable}) ;; *) echo "go: $package needs a newer go" >&2; exit 1;; esac
      name="\${package%@*}"; name="\${name##*/}"
      printf '#!/bin/sh\\necho %s\\n' "$package" > "$GOBIN/$name"; chmod +x "$GOBIN/$name"
    done;;
  version) printf '%s: go1.0\\n\\tmod\\tm\\t%s\\th1:x\\n' "$3" "$(sh "$3" | sed 's/.*@//')";;
esac
`;
  writeFileSync(go, text);
  chmodSync(go, 0o755);
  return go;
}

t.test('rivals are built in the newest version that builds, and found before the path', async t => {
  const place = join(folder, 'built');
  const told: string[] = [];
  const go = fakeGo('*wireguard@latest|*@v1.1.0|*@v1.0.0');
  t.same(installRivals({ folder: place, go, tell: line => told.push(line) }), []);
  t.same(readdirSync(place).sort(), ['nebula', 'nebula-cert', 'versions.json', 'wireguard-go']);
  t.same(
    told.filter(line => line.startsWith('building')),
    [
      'golang.zx2c4.com/wireguard@latest',
      ...['v1.2.0', 'v1.1.0'].map(v => `github.com/slackhq/nebula@${v}`),
    ].map(what => `building ${what}`),
  );
  t.equal(attempt([findRival('nebula', place)!]).stdout, 'github.com/slackhq/nebula/cmd/nebula@v1.1.0\n');
  t.equal(builtVersion('nebula-cert', place), 'v1.1.0');
  t.equal(builtVersion('wireguard-go', place), 'latest');
  t.equal(findRival('sh', place), attempt(['sh', '-c', 'command -v sh']).stdout.trim());
  t.equal(builtVersion('sh', place), undefined, 'a program of the path has no module version');
});

t.test('what cannot be built is named with the reason, and the other one is built', async t => {
  const place = join(folder, 'half');
  const failed = installRivals({ folder: place, go: fakeGo('*wireguard@latest'), tell: () => {} });
  t.equal(failed.length, 1);
  t.match(failed[0], /^github\.com\/slackhq\/nebula: v1\.2\.0: go: .*needs a newer go; v1\.1\.0: /);
  t.same(readdirSync(place).sort(), ['versions.json', 'wireguard-go']);
});

t.test('without Go it says what is not measured', async t => {
  t.throws(() => installRivals({ folder, go: undefined, tell: () => {} }), {
    code: 'ECOMMAND',
    message: /Go is not installed here/,
  });
  const run = launch([process.execPath, `${CHECKOUT}dist/bench/rivals/main.js`], { env: { PATH: folder } });
  rmSync(join(folder, 'go'), { force: true });
  t.equal((await run.ended).code, 1);
  t.match(run.stderr, /^bench:rivals: Go is not installed here/);
});
