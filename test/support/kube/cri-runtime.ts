import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { credentials, loadPackageDefinition } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { attempt, type Finished, must } from '../../../bench/lab/command.ts';
import type { Namespace } from '../../../bench/lab/namespace.ts';
import { launch, type Proc } from '../../../bench/lab/proc.ts';
import { CHECKOUT } from '../../../bench/lab/tool.ts';
import { until } from '../../../bench/lab/until.ts';
import type { KubePod } from './kube-pod.ts';

/*
 * A node as kubelet sees it: Debian's containerd with its CRI plugin, in the network namespace of a lab's node, with a
 * /run, /etc, /opt and /var of its own, so that hostPath volumes are the node's.
 */

export const PAUSE = 'ripstop.test/pause:1';
const CALL_MS = 60_000;

type Answer = Record<string, unknown>;
type Method = (request: object, options: object, done: (error: Error | null, answer: Answer) => void) => void;

type Service = Record<string, Method> & { close(): void };

/** The answer of a runtime to a verbose request about a container or pod, with the OCI configuration. */
export interface Verbose {
  readonly pid: number;
  readonly runtimeSpec: OciSpec;
}

/** The parts of an OCI configuration that are looked at or changed. */
export interface OciSpec {
  root: { path: string };
  process: {
    args: string[];
    terminal?: boolean;
    capabilities: Record<string, string[]>;
    apparmorProfile?: string;
  };
  mounts: { destination: string; source: string; options: string[] }[];
  linux: {
    cgroupsPath: string;
    namespaces: { type: string; path?: string }[];
    maskedPaths: string[];
    readonlyPaths: string[];
    resources: { devices: object[] };
    devices?: object[];
  };
}

interface Owner {
  teardown(undo: () => unknown): void;
}

export class CriNode {
  readonly folder: string;
  readonly #ns: Namespace;
  readonly #daemon: Proc;
  readonly #service: Service;

  /** Starts containerd, imports the images and waits until the runtime is ready but for its network. */
  static async start(t: Owner, ns: Namespace, folder: string, images: readonly string[]): Promise<CriNode> {
    const node = new CriNode(ns, folder);
    const sandboxes: string[] = [];
    node.#sandboxes = sandboxes;
    t.teardown(async () => {
      for (const id of sandboxes.reverse()) {
        await node.call('StopPodSandbox', { pod_sandbox_id: id }).catch(() => {});
        await node.call('RemovePodSandbox', { pod_sandbox_id: id }).catch(() => {});
      }
      node.#service.close();
      await node.#daemon.stop();
    });
    await until(
      'containerd answers',
      () =>
        node.call('Version', {}, 1000).then(
          () => true,
          () => false,
        ),
      30_000,
      200,
    );
    for (const image of images) {
      const words = ['ctr', '--address', node.#socket, '-n', 'k8s.io', 'images', 'import', image];
      await launch([...node.view, ...words]).success(240_000);
    }
    return node;
  }

  #sandboxes: string[] = [];

  private constructor(ns: Namespace, folder: string) {
    this.#ns = ns;
    this.folder = folder;
    const at = (name: string) => join(folder, name);
    const overlays = ['etc', 'opt', 'var'].map(name => {
      for (const part of [name, `${name}-work`]) mkdirSync(at(part), { recursive: true });
      return `mount -t overlay overlay -o lowerdir=/${name},upperdir=${at(name)},workdir=${at(`${name}-work`)} /${name}`;
    });
    mkdirSync(at('logs'), { recursive: true });
    // restrict_oom_score_adj: where root has no CAP_SYS_RESOURCE, as in some sandboxes, a lower score is refused.
    const plugin = '[plugins."io.containerd.grpc.v1.cri"';
    writeFileSync(
      at('config.toml'),
      `version = 2
root = "${at('root')}"
state = "${at('state')}"
[grpc]
  address = "${this.#socket}"
${plugin}]
  sandbox_image = "${PAUSE}"
  restrict_oom_score_adj = true
${plugin}.cni]
  bin_dir = "/opt/cni/bin"
  conf_dir = "/etc/cni/net.d"
`,
    );
    // As systemd has it: what is mounted below /run later is seen by who asked for it.
    // The machine's own mount of /run/netns would stay in the table that containerd reads, hidden and private.
    const bare = 'while umount -l /run/netns 2>/dev/null; do :; done';
    const run = 'mount -t tmpfs none /run && mount --make-shared /run && mkdir /run/netns /run/lock';
    const script = [
      'mount --make-rprivate /',
      ...overlays,
      bare,
      run,
      `exec containerd --config ${at('config.toml')} --log-level warn`,
    ];
    const log = at('containerd.log');
    this.#daemon = launch(
      [`nsenter`, `--net=${ns.path}`, '--', 'unshare', '-m', 'sh', '-c', script.join(' && ')],
      { log },
    );
    const definition = loadSync(`${CHECKOUT}test/support/kube/cri.proto`, {
      keepCase: true,
      enums: String,
      defaults: true,
      longs: Number,
    });
    const loaded = loadPackageDefinition(definition) as unknown as {
      runtime: { v1: { RuntimeService: new (address: string, how: object) => Service } };
    };
    this.#service = new loaded.runtime.v1.RuntimeService(
      `unix:${this.#socket}`,
      credentials.createInsecure(),
    );
  }

  get #socket(): string {
    return join(this.folder, 'containerd.sock');
  }

  /** The program that runs others with the node's network and files. */
  get view(): string[] {
    return ['nsenter', `--net=${this.#ns.path}`, `--mount=/proc/${this.#daemon.pid}/ns/mnt`, '--'];
  }

  call(method: string, request: object, ms = CALL_MS): Promise<Answer> {
    return new Promise((resolve, reject) => {
      this.#service[method]!(request, { deadline: Date.now() + ms }, (error, answer) =>
        error ? reject(error) : resolve(answer),
      );
    });
  }

  /** What kubelet does before it starts the pod: hostPath volumes of the types ...OrCreate. */
  prepare({ hostPaths }: KubePod): void {
    for (const { path, type } of hostPaths)
      if (type === 'DirectoryOrCreate') must([...this.view, 'mkdir', '-p', path]);
      else if (type === 'FileOrCreate') must([...this.view, 'touch', path]);
      else must([...this.view, 'test', type === 'CharDevice' ? '-c' : '-d', path]);
  }

  async sandbox(config: object): Promise<string> {
    const { pod_sandbox_id: id } = await this.call('RunPodSandbox', { config });
    this.#sandboxes.push(id as string);
    return id as string;
  }

  async stopSandbox(id: string): Promise<void> {
    await this.call('StopPodSandbox', { pod_sandbox_id: id });
  }

  /** A pod with the network of the CNI configuration, and nothing in it but what holds its namespaces. */
  async pod(name: string): Promise<{ id: string; ip: string; run(argv: readonly string[]): Finished }> {
    const id = await this.sandbox({
      metadata: { name, uid: `uid-${name}`, namespace: 'default' },
      hostname: name,
      log_directory: join(this.folder, 'logs'),
      linux: { security_context: { namespace_options: { network: 'POD', pid: 'CONTAINER', ipc: 'POD' } } },
    });
    const answer = await this.call('PodSandboxStatus', { pod_sandbox_id: id, verbose: true });
    const { network } = answer.status as { network: { ip: string } };
    const { pid } = JSON.parse((answer.info as { info: string }).info) as Verbose;
    return {
      id,
      ip: network.ip,
      run: argv => attempt(['nsenter', `--net=/proc/${pid}/ns/net`, '--', ...argv]),
    };
  }

  async create(sandbox: string, sandboxConfig: object, config: object): Promise<string> {
    const request = { pod_sandbox_id: sandbox, config, sandbox_config: sandboxConfig };
    const { container_id: id } = await this.call('CreateContainer', request);
    await this.call('StartContainer', { container_id: id });
    return id as string;
  }

  async state(id: string): Promise<{ state: string; exit_code: number; message: string; reason: string }> {
    const { status } = await this.call('ContainerStatus', { container_id: id });
    return status as never;
  }

  async spec(id: string): Promise<OciSpec> {
    const { info } = await this.call('ContainerStatus', { container_id: id, verbose: true });
    return (JSON.parse((info as { info: string }).info) as Verbose).runtimeSpec;
  }

  async stop(id: string): Promise<void> {
    await this.call('StopContainer', { container_id: id, timeout: 10 });
  }

  /** As `kubectl exec`. */
  async exec(id: string, ...cmd: string[]): Promise<Finished> {
    const answer = await this.call('ExecSync', { container_id: id, cmd, timeout: 30 });
    const text = (value: unknown) => Buffer.from(value as Uint8Array).toString();
    return { code: answer.exit_code as number, stdout: text(answer.stdout), stderr: text(answer.stderr) };
  }

  /** 200, 503 or nothing: what kubelet's probe would get. */
  isReady(): boolean {
    return attempt([...this.view, 'curl', '-sf', '-m2', 'http://127.0.0.1:8081/readyz']).code === 0;
  }
}
