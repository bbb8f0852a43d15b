import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join, relative } from 'node:path';
import t from 'tap';
import { CHECKOUT } from '../../../bench/lab/tool.ts';
import type { Node } from '../../../src/lab/topology.ts';
import { until } from '../../../src/lab/until.ts';
import { agentsFor, fileStoreFor } from '../../fixtures/agents/agents.ts';
import { labFor } from '../../fixtures/lab.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

/** What the last stage of the Dockerfile takes over from the build, laid out as in the image. */
function layOut(root: string): void {
  const dockerfile = readFileSync(join(CHECKOUT, 'docs/deploy/Dockerfile'), 'utf8');
  const last = dockerfile.slice(dockerfile.lastIndexOf('\nFROM '));
  const copies = [...last.matchAll(/^COPY --from=build \/opt\/ripstop\/(\S+) \.\/(\S*)$/gm)];
  for (const [, from, into] of copies) {
    const to = join(root, into || basename(from!));
    mkdirSync(dirname(to), { recursive: true });
    if (from === 'node_modules') copyProductionModules(to);
    else cpSync(join(CHECKOUT, from!), to, { recursive: true });
  }
}

/** As `npm prune --omit=dev` leaves them. */
function copyProductionModules(to: string): void {
  const args = ['ls', '--omit=dev', '--all', '--parseable'];
  const paths = execFileSync('npm', args, { cwd: CHECKOUT, encoding: 'utf8' }).trim().split('\n').slice(1);
  const modules = join(CHECKOUT, 'node_modules');
  for (const path of paths) {
    const nested = join(path, 'node_modules');
    cpSync(path, join(to, relative(modules, path)), {
      recursive: true,
      filter: source => source !== nested,
    });
  }
}

t.test(
  'what the image holds is enough: agent, doctor, CNI executables',
  { skip: skipUnless('root', 'netns', 'tun', 'nft', 'npm', 'curl') },
  async t => {
    const root = mkdtempSync(join(tmpdir(), 'rs-image-'));
    t.teardown(() => rmSync(root, { recursive: true, force: true }));
    layOut(root);
    const main = join(root, 'dist/src/cli/main.js');
    const lab = labFor(t);
    const [one, two] = lab.nodes as [Node, Node];
    const store = fileStoreFor(t);
    const { agents } = agentsFor(t, lab, store.flags);
    for (const agent of agents) agent.rememberSubnet();
    agents[1]!.start();
    const { stateDir, subnetFile, socket } = agents[0]!;
    const flags = ['--iface=eth0', '--ip-masq', `--state-dir=${stateDir}`, `--subnet-file=${subnetFile}`];
    const health = ['--healthz-port=8081', '--metrics-address=127.0.0.1:8081', '--probe-interval=1'];
    const run = [process.execPath, main, 'agent', ...store.flags, ...flags, ...health];
    const agent = one.ns.launch(run, { log: join(stateDir, 'log') });
    const log = () => readFileSync(join(stateDir, 'log'), 'utf8');
    await agents[1]!.ready(1).catch(error => t.fail(`${error}\n${log()}`));
    await until(
      'traffic',
      () => one.pods[0]!.ns.attempt(['ping', '-c1', '-W1', two.pods[0]!.address[4]]).code === 0,
    );
    const doctor = one.ns.attempt([process.execPath, main, 'doctor', '--socket', socket, '--json']);
    t.match(doctor.stdout, '1 peer answers by flannel.1', 'with the addon of the probes');
    t.match(one.ns.must(['curl', '-s', 'http://127.0.0.1:8081/metrics']), 'ripstop_ready 1\n');
    await agent.stop();

    const [bin, conf] = [join(root, 'bin'), join(root, 'net.d')];
    const install = [main, 'cni', 'install', `--bin-dir=${bin}`, `--conf-dir=${conf}`];
    execFileSync(process.execPath, install, { encoding: 'utf8' });
    t.same(readdirSync(conf), ['10-ripstop.conflist']);
    const version = execFileSync(join(bin, 'ripstop'), {
      env: { CNI_COMMAND: 'VERSION', PATH: process.env.PATH },
      encoding: 'utf8',
    });
    t.match(JSON.parse(version), { supportedVersions: ['0.1.0'] });
  },
);
