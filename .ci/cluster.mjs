#!/usr/bin/env node
/*
 * Ripstop in a real cluster: image, chart, connectivity, policy, upgrade, uninstall, and a move from flannel and back.
 *   node .ci/cluster.mjs kind | k3s [--print]
 * Needs docker, kubectl and helm, and kind for `kind`. --print shows the commands and runs none. The workflow `cluster` runs it.
 * Plain Node, no dependency. It was never run: the machine of the tests reaches no registry of images.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const VERSION = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')).version;
const IMAGE = `ripstop:${VERSION}`;
const AGNHOST = 'registry.k8s.io/e2e-test-images/agnhost:2.53';
const FLANNEL = 'https://github.com/flannel-io/flannel/releases/download/v0.28.9/kube-flannel.yml';
const K3S_CONF = '/var/lib/rancher/k3s/agent/etc/cni/net.d';
/** kind's nodes lack the plugin `bridge`, which flannel's plugin needs. */
const PLUGINS =
  'https://github.com/containernetworking/plugins/releases/download/v1.8.0/cni-plugins-linux-amd64-v1.8.0.tgz';
const K3S = 'rancher/k3s:v1.33.5-k3s1';
const ATTEMPTS = 30;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { print: { type: 'boolean', default: false } },
});

function attempt(command, input) {
  const shown = command.map(word => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word}'`)).join(' ');
  process.stdout.write(`$ ${shown}${input ? ' <<EOF' : ''}\n${input ? `${input}\nEOF\n` : ''}`);
  if (values.print) return { status: 0, stdout: '' };
  const [program, ...args] = command;
  const result = spawnSync(program, args, { cwd: ROOT, encoding: 'utf8', input, maxBuffer: 1 << 30 });
  if (result.error) throw result.error;
  process.stdout.write(result.stdout.slice(0, 4000) + result.stderr);
  return result;
}

function must(command, input) {
  const { status, stdout } = attempt(command, input);
  if (status !== 0) throw new Error(`failed with ${status}: ${command.join(' ')}`);
  return stdout.trim();
}

/** Repeats a command until it succeeds, or fails where that is wanted. */
async function until(wanted, command) {
  for (let i = 0; i < ATTEMPTS; i++) {
    if (values.print) return void attempt(command);
    if ((attempt(command).status === 0) === (wanted === 'succeeds')) return;
    await sleep(2000);
  }
  throw new Error(`never ${wanted}: ${command.join(' ')}`);
}

const kubectl = (...args) => must(['kubectl', ...args]);
const apply = object => must(['kubectl', 'apply', '-f', '-'], JSON.stringify(object));

const onNode = (node, ...command) => ['docker', 'exec', node, ...command];

const clusters = {
  kind: {
    nodes: ['ripstop-control-plane', 'ripstop-worker', 'ripstop-worker2'],
    network: '10.244.0.0/16',
    confDir: '/etc/cni/net.d',
    cni: [],
    up() {
      const networking = { disableDefaultCNI: true, podSubnet: this.network };
      const nodes = ['control-plane', 'worker', 'worker'].map(role => ({ role }));
      const config = { kind: 'Cluster', apiVersion: 'kind.x-k8s.io/v1alpha4', networking, nodes };
      must(['kind', 'create', 'cluster', '--name=ripstop', '--config=-'], JSON.stringify(config));
      must(['kind', 'load', 'docker-image', IMAGE, '--name=ripstop']);
    },
    down: () => attempt(['kind', 'delete', 'cluster', '--name=ripstop']),
  },
  k3s: {
    nodes: ['ripstop-server', 'ripstop-agent'],
    network: '10.42.0.0/16',
    confDir: K3S_CONF,
    cni: [`--set=cni.confDir=${K3S_CONF}`, '--set=cni.binDir=/var/lib/rancher/k3s/data/cni'],
    async up() {
      must(['docker', 'network', 'create', 'ripstop']);
      const [server, agent] = this.nodes;
      const start = (name, options, ...words) => {
        const host = ['--privileged', '--network=ripstop', `--name=${name}`, `--hostname=${name}`];
        const mounts = ['--tmpfs=/run', '--tmpfs=/var/run', '--volume=/lib/modules:/lib/modules:ro'];
        must([
          'docker',
          'run',
          '--detach',
          ...host,
          ...mounts,
          '--env=K3S_TOKEN=test',
          ...options,
          K3S,
          ...words,
        ]);
        // Pods that take part in the mounts of the node need these to be shared.
        must(onNode(name, 'mount', '--make-rshared', '/'));
      };
      start(
        server,
        ['--publish=127.0.0.1:6443:6443'],
        'server',
        '--flannel-backend=none',
        '--disable=traefik',
      );
      start(agent, [`--env=K3S_URL=https://${server}:6443`], 'agent');
      await until('succeeds', onNode(server, 'test', '-s', '/etc/rancher/k3s/k3s.yaml'));
      must(['docker', 'cp', `${server}:/etc/rancher/k3s/k3s.yaml`, '/tmp/ripstop-k3s.yaml']);
      process.env.KUBECONFIG = '/tmp/ripstop-k3s.yaml';
      must(['docker', 'save', '--output=/tmp/ripstop-image.tar', IMAGE]);
      for (const node of this.nodes) {
        must(['docker', 'cp', '/tmp/ripstop-image.tar', `${node}:/image.tar`]);
        await until('succeeds', onNode(node, 'ctr', '--namespace=k8s.io', 'images', 'import', '/image.tar'));
      }
    },
    down() {
      attempt(['docker', 'rm', '--force', '--volumes', ...this.nodes]);
      attempt(['docker', 'network', 'rm', 'ripstop']);
    },
  },
};

const cluster = clusters[positionals[0]];
if (!cluster) {
  process.stderr.write('usage: node .ci/cluster.mjs kind | k3s [--print]\n');
  process.exit(2);
}

const chart = (verb, ...more) =>
  must([
    ...['helm', verb, 'ripstop', 'docs/deploy/helm', '--namespace=kube-ripstop'],
    ...[`--set=netConf.Network=${cluster.network}`, ...cluster.cni],
    ...more,
  ]);
const ready = () => {
  kubectl('--namespace=kube-ripstop', 'rollout', 'status', 'daemonset/ripstop', '--timeout=5m');
  kubectl('wait', '--for=condition=Ready', 'nodes', '--all', '--timeout=5m');
};

/** Two pods, on the last two nodes. @returns the command that connects from the first to the second */
function pods() {
  const [from, to] = cluster.nodes.slice(-2);
  for (const [name, nodeName] of [
    ['from', from],
    ['to', to],
  ]) {
    const containers = [{ name, image: AGNHOST, args: ['netexec', '--http-port=8080'] }];
    const metadata = { name, labels: { app: name } };
    apply({ apiVersion: 'v1', kind: 'Pod', metadata, spec: { nodeName, containers } });
  }
  kubectl('wait', '--for=condition=Ready', 'pod/from', 'pod/to', '--timeout=5m');
  const address = kubectl('get', 'pod/to', '--output=jsonpath={.status.podIP}') || 'ADDRESS';
  return ['kubectl', 'exec', 'from', '--', '/agnhost', 'connect', `${address}:8080`, '--timeout=3s'];
}

async function onNodes(wanted, ...command) {
  for (const node of cluster.nodes) await until(wanted, onNode(node, ...command));
}

async function life() {
  kubectl('create', 'namespace', 'kube-ripstop');
  kubectl('label', 'namespace', 'kube-ripstop', 'pod-security.kubernetes.io/enforce=privileged');
  chart('install', '--set=kubeNetworkPolicies.enabled=true');
  ready();
  const connect = pods();
  await until('succeeds', connect);

  const policy = { podSelector: { matchLabels: { app: 'to' } }, policyTypes: ['Ingress'] };
  apply({
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata: { name: 'deny' },
    spec: policy,
  });
  await until('fails', connect);
  kubectl('delete', 'networkpolicy/deny');
  await until('succeeds', connect);

  chart('upgrade', '--set-string=pods.annotations.round=2', '--set=uninstall.cni=true');
  ready();
  await until('succeeds', connect);

  kubectl('delete', 'pod/from', 'pod/to');
  const left = [
    ['ip', 'link', 'show', 'flannel.1'],
    ['ls', `${cluster.confDir}/10-ripstop.conflist`],
  ];
  for (const command of left) await onNodes('succeeds', ...command);
  must(['helm', 'uninstall', 'ripstop', '--namespace=kube-ripstop']);
  for (const command of left) await onNodes('fails', ...command);
}

/** The guide docs/guides/operate/migration.md with the chart in the place of the manifest: kind only, k3s has flannel inside. */
async function move() {
  await onNodes('succeeds', 'sh', '-c', `curl -fsSL ${PLUGINS} | tar -xz -C /opt/cni/bin`);
  kubectl('apply', '-f', FLANNEL);
  kubectl('--namespace=kube-flannel', 'rollout', 'status', 'daemonset/kube-flannel-ds', '--timeout=5m');
  const connect = pods();
  await until('succeeds', connect);
  const patch = { spec: { template: { spec: { nodeSelector: { overlay: 'flannel' } } } } };
  const label = (node, overlay) => kubectl('label', 'node', node, '--overwrite', `overlay=${overlay}`);
  for (const node of cluster.nodes) label(node, 'flannel');
  kubectl(
    ...['--namespace=kube-flannel', 'patch', 'daemonset', 'kube-flannel-ds', '--type=merge'],
    `--patch=${JSON.stringify(patch)}`,
  );
  chart('install', '--set=pods.nodeSelector.overlay=ripstop');
  for (const node of cluster.nodes) {
    label(node, 'ripstop');
    await until('succeeds', connect);
  }
  ready();
  must(['helm', 'uninstall', 'ripstop', '--namespace=kube-ripstop']);
  for (const node of cluster.nodes) label(node, 'flannel');
  kubectl('--namespace=kube-flannel', 'rollout', 'status', 'daemonset/kube-flannel-ds', '--timeout=5m');
  await until('succeeds', connect);
}

try {
  must(['docker', 'build', '--file=docs/deploy/Dockerfile', `--tag=${IMAGE}`, '.']);
  await cluster.up();
  await life();
  if (positionals[0] === 'kind') await move();
  process.stdout.write(values.print ? 'printed, nothing was run\n' : 'the cluster did what it should\n');
} catch (error) {
  attempt(['kubectl', 'get', 'pods', '--all-namespaces', '--output=wide']);
  attempt([
    'kubectl',
    '--namespace=kube-ripstop',
    'logs',
    'daemonset/ripstop',
    '--all-containers',
    '--tail=200',
  ]);
  process.stderr.write(`cluster: ${error.message}\n`);
  process.exitCode = 1;
} finally {
  await cluster.down();
}
