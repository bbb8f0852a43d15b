import { copyFileSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { attempt, type Finished, must } from '../../../bench/lab/command.ts';
import type { Namespace } from '../../../bench/lab/namespace.ts';
import { launch, type Proc } from '../../../bench/lab/proc.ts';
import { until } from '../../../bench/lab/until.ts';
import { type InstallOptions, installCni } from '../../../src/cni/install.ts';
import { staticBusybox } from '../qemu/busybox.ts';

/*
 * A real runtime: Debian's containerd, whose `ctr run --cni` calls the plugins of /opt/cni/bin as configured in
 * /etc/cni/net.d. It runs in the namespace of a node and with its own /etc and /opt, so the machine's are not touched.
 */

/** For `skipUnless`. */
export const CONTAINERD = ['containerd', 'ctr', 'runc', 'static busybox', '/sys/fs/cgroup'] as const;

interface Owner {
  teardown(undo: () => unknown): void;
}

export class Containerd {
  readonly #folder: string;
  readonly #node: Namespace;
  readonly #daemon: Proc;
  readonly #running = new Map<string, Proc>();
  #calls = 0;

  /**
   * Starts it and waits until it answers; it ends with the test.
   * @param folder directory that goes with the test
   * @param install socket of the agent that the plugins hand their calls to, or that there is to be none
   */
  static async start(
    t: Owner,
    node: Namespace,
    folder: string,
    install: { socket: string; callsDir?: string; standalone?: boolean },
  ): Promise<Containerd> {
    const runtime = new Containerd(node, folder, install);
    t.teardown(async () => {
      for (const [id, proc] of runtime.#running) {
        attempt(runtime.#ctr('task', 'kill', '-s', 'SIGKILL', id));
        await proc.stop();
      }
      await runtime.#daemon.stop();
    });
    await until('containerd answers', () => attempt(runtime.#ctr('version')).code === 0, 60_000, 100);
    return runtime;
  }

  private constructor(node: Namespace, folder: string, install: InstallOptions) {
    this.#node = node;
    this.#folder = folder;
    const at = (name: string) => `${folder}/${name}`;
    for (const name of ['bin', 'proc', 'sys', 'dev', 'tmp'])
      mkdirSync(at(`rootfs/${name}`), { recursive: true });
    copyFileSync(staticBusybox()!, at('rootfs/bin/busybox'));
    for (const name of ['sh', 'ip', 'ping', 'sleep', 'cat', 'nc'])
      symlinkSync('busybox', at(`rootfs/bin/${name}`));
    for (const name of ['etc/cni/net.d', 'etc-work', 'opt', 'opt-work'])
      mkdirSync(at(name), { recursive: true });
    installCni({ binDir: at('opt/cni/bin'), ...install });
    const overlay = (name: string) =>
      `mount -t overlay overlay -o lowerdir=/${name},upperdir=${at(name)},workdir=${at(`${name}-work`)} /${name}`;
    const daemon = `exec containerd --root ${at('root')} --state ${at('state')} --address ${at('containerd.sock')} --log-level warn`;
    // Debian's containerd looks into /usr/lib/cni first.
    const foreign = '[ ! -d /usr/lib/cni ] || mount -t tmpfs none /usr/lib/cni';
    const script = `mount --make-rprivate / && ${overlay('etc')} && ${overlay('opt')} && { ${foreign}; } && ${daemon}`;
    this.#daemon = launch(this.#onNode('unshare', '-m', 'sh', '-c', script));
  }

  /** Not `ip netns exec`, which puts a /sys without control groups in front. */
  #onNode(...argv: string[]): string[] {
    return ['nsenter', `--net=${this.#node.path}`, '--', ...argv];
  }

  /** The program that runs others with the runtime's view of the file system: the agent of the node belongs there. */
  get view(): string[] {
    return ['nsenter', `--mount=/proc/${this.#daemon.pid}/ns/mnt`];
  }

  #ctr(...args: string[]): string[] {
    return this.#onNode(...this.view, 'ctr', '--address', `${this.#folder}/containerd.sock`, ...args);
  }

  /** The network of containers from now on, and of those that end. */
  configure(name: string, plugins: readonly object[]): void {
    writeFileSync(
      `${this.#folder}/etc/cni/net.d/10-net.conflist`,
      JSON.stringify({ cniVersion: '1.0.0', name, plugins }),
    );
  }

  /**
   * Runs a container in the foreground of a process, which prints its address and routes; it ends with `kill`.
   * @param id of its own on this machine: runc's directory is one for all
   */
  async container(id: string): Promise<Proc> {
    const command = 'ip -4 addr show eth0; ip route; nc -l -p 80 -e cat & echo up; sleep 1000';
    const rootfs = `${this.#folder}/rootfs`;
    const proc = launch(this.#ctr('run', '--rm', '--cni', '--rootfs', rootfs, id, '/bin/sh', '-c', command));
    this.#running.set(id, proc);
    await proc.saying(/^up/m);
    return proc;
  }

  /** Runs a program of busybox in a container. */
  inside(id: string, ...argv: string[]): Finished {
    const exec = ['task', 'exec', '--exec-id', `e${this.#calls++}`, id, '/bin/busybox'];
    return attempt(this.#ctr(...exec, ...argv));
  }

  /** The command line that runs a program of this machine in a container's network. */
  inNetworkOf(id: string, argv: readonly string[]): string[] {
    const pid = new RegExp(`^${id}\\s+(\\d+)`, 'm').exec(must(this.#ctr('task', 'ls')))?.[1];
    return ['nsenter', `--net=/proc/${pid}/ns/net`, '--', ...argv];
  }

  async kill(id: string, proc: Proc): Promise<void> {
    must(this.#ctr('task', 'kill', '-s', 'SIGKILL', id));
    await proc.ended;
    this.#running.delete(id);
  }
}

/** Address of a container from what it printed. */
export const addressOf = (proc: Proc): string => /inet ([\d.]+)\/24/.exec(proc.stdout)?.[1] ?? '';

/** What Ripstop's plugins leave on a node during the time of a pod. */
export function leftovers(node: Namespace): string[] {
  return [
    ...(node.ip('link show').match(/veth[0-9a-f]{8}|bwp[0-9a-f]+/g) ?? []),
    ...(node.must(['nft', 'list', 'ruleset']).match(/comment "rs.*/g) ?? []),
  ];
}
