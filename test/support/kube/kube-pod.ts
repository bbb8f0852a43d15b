import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseAllDocuments } from 'yaml';
import { CHECKOUT } from '../../../bench/lab/tool.ts';

/*
 * The DaemonSet of docs/deploy/kube-ripstop.yml as the requests that a kubelet makes of it to a runtime. What differs: the
 * agent gets --kube-api-url, as there is no service account; the test does the probes; cgroups and /etc/hosts are left out.
 */

interface Volume {
  readonly name: string;
  readonly hostPath?: { readonly path: string; readonly type: string };
  readonly configMap?: { readonly name: string };
}

interface Container {
  readonly name: string;
  readonly image: string;
  readonly args: readonly string[];
  readonly env?: readonly { name: string; value?: string; valueFrom?: { fieldRef: { fieldPath: string } } }[];
  readonly securityContext?: {
    readonly privileged?: boolean;
    readonly capabilities?: { readonly add?: string[]; readonly drop?: string[] };
  };
  readonly volumeMounts: readonly { name: string; mountPath: string; mountPropagation?: string }[];
}

interface PodSpec {
  readonly hostNetwork?: boolean;
  readonly initContainers: readonly Container[];
  readonly containers: readonly Container[];
  readonly volumes: readonly Volume[];
}

interface Manifest {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace: string };
  readonly data?: Readonly<Record<string, string>>;
  readonly spec?: {
    readonly template: { metadata: { annotations?: Record<string, string> }; spec: PodSpec };
  };
}

/** The paths that kubelet has a runtime hide and protect (pkg/securitycontext, procMount Default). */
const MASKED = [
  'asound',
  'acpi',
  'kcore',
  'keys',
  'latency_stats',
  'timer_list',
  'timer_stats',
  'sched_debug',
  'scsi',
];
const READ_ONLY = ['bus', 'fs', 'irq', 'sys', 'sysrq-trigger'];
const PROPAGATION: Readonly<Record<string, string>> = {
  HostToContainer: 'HOST_TO_CONTAINER',
  Bidirectional: 'BIDIRECTIONAL',
};
const NODE_NAMESPACES = { network: 'NODE', pid: 'CONTAINER', ipc: 'POD' };

export interface KubePod {
  readonly sandbox: Record<string, unknown>;
  readonly init: readonly Record<string, unknown>[];
  readonly containers: readonly Record<string, unknown>[];
  /** Folders and files that hostPath volumes ask for: path and type. */
  readonly hostPaths: readonly { readonly path: string; readonly type: string }[];
}

/**
 * @param folder where files of ConfigMaps and logs go
 * @param more arguments for the agent
 */
export function daemonPod(nodeName: string, folder: string, more: readonly string[]): KubePod {
  const text = readFileSync(join(CHECKOUT, 'docs/deploy/kube-ripstop.yml'), 'utf8');
  const all = parseAllDocuments(text).map(document => document.toJS() as Manifest);
  const daemonSet = all.find(({ kind }) => kind === 'DaemonSet')!;
  const { spec, metadata } = daemonSet.spec!.template;
  if (!spec.hostNetwork) throw new Error('the pod is not on the network of its host');
  for (const { name, data } of all
    .filter(({ kind }) => kind === 'ConfigMap')
    .map(one => ({ ...one, ...one.metadata })))
    for (const [file, content] of Object.entries(data ?? {})) {
      mkdirSync(join(folder, 'config', name), { recursive: true });
      writeFileSync(join(folder, 'config', name, file), content);
    }
  const sources = new Map(
    spec.volumes.map(({ name, hostPath, configMap }) => [
      name,
      hostPath ? hostPath.path : join(folder, 'config', configMap!.name),
    ]),
  );
  const isPrivileged = spec.containers.some(one => one.securityContext?.privileged);
  const toRequest = (container: Container, extra: readonly string[]) => ({
    metadata: { name: container.name },
    image: { image: container.image },
    args: [...container.args, ...extra],
    envs: (container.env ?? []).map(({ name, value, valueFrom }) => ({
      key: name,
      value: valueFrom?.fieldRef.fieldPath === 'spec.nodeName' ? nodeName : value,
    })),
    mounts: container.volumeMounts.map(({ name, mountPath, mountPropagation }) => ({
      container_path: mountPath,
      host_path: sources.get(name),
      propagation: PROPAGATION[mountPropagation ?? ''] ?? 'PRIVATE',
    })),
    log_path: `${container.name}.log`,
    linux: { security_context: securityOf(container) },
  });
  return {
    sandbox: {
      metadata: {
        name: `ripstop-${nodeName}`,
        uid: `uid-${nodeName}`,
        namespace: daemonSet.metadata.namespace,
      },
      log_directory: join(folder, 'logs'),
      annotations: metadata.annotations ?? {},
      linux: { security_context: { namespace_options: NODE_NAMESPACES, privileged: isPrivileged } },
    },
    init: spec.initContainers.map(one => toRequest(one, [])),
    containers: spec.containers.map(one => toRequest(one, more)),
    hostPaths: spec.volumes.flatMap(({ hostPath }) => (hostPath ? [hostPath] : [])),
  };
}

function securityOf({ securityContext }: Container): Record<string, unknown> {
  const { privileged = false, capabilities } = securityContext ?? {};
  return {
    privileged,
    capabilities: { add_capabilities: capabilities?.add ?? [], drop_capabilities: capabilities?.drop ?? [] },
    namespace_options: NODE_NAMESPACES,
    masked_paths: privileged ? [] : [...MASKED.map(name => `/proc/${name}`), '/sys/firmware'],
    readonly_paths: privileged ? [] : READ_ONLY.map(name => `/proc/${name}`),
  };
}
