{{/* An image reference. Argument: a dict of image and, where the tag may be empty, fallback. */}}
{{- define "ripstop.image" -}}
{{- if .image.digest -}}
{{ .image.repository }}@{{ .image.digest }}
{{- else -}}
{{ .image.repository }}:{{ .image.tag | default .fallback }}
{{- end -}}
{{- end -}}

{{/* Image and pull policy of a container of Ripstop. */}}
{{- define "ripstop.containerImage" -}}
image: {{ include "ripstop.image" (dict "image" .Values.image "fallback" .Chart.AppVersion) }}
{{- with .Values.image.pullPolicy }}
imagePullPolicy: {{ . }}
{{- end }}
{{- end -}}

{{/* The arguments for flags in a map: true is --name, a list is a repeated flag, anything else --name=value. */}}
{{- define "ripstop.flags" -}}
{{- range $name, $value := . }}
{{- if kindIs "slice" $value }}
{{- range $value }}
- {{ printf "--%s=%v" $name . | quote }}
{{- end }}
{{- else if and (kindIs "bool" $value) $value }}
- --{{ $name }}
{{- else }}
- {{ printf "--%s=%v" $name $value | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{/* The address of /metrics, an IPv6 address in brackets. */}}
{{- define "ripstop.metricsAddress" -}}
{{- if contains ":" .Values.metrics.address -}}
[{{ .Values.metrics.address }}]:{{ .Values.metrics.port }}
{{- else -}}
{{ .Values.metrics.address }}:{{ .Values.metrics.port }}
{{- end -}}
{{- end -}}

{{/* What the agent and the cleanup of a node may do. */}}
{{- define "ripstop.securityContext" -}}
{{- if .Values.agent.privileged -}}
privileged: true
{{- else -}}
capabilities:
  drop: [ALL]
  add: [NET_ADMIN, NET_RAW, SYS_ADMIN]
{{- end }}
{{- end -}}

{{/* The mounts that the agent and the cleanup of a node share, and their volumes. */}}
{{- define "ripstop.hostMounts" -}}
- { name: run-ripstop, mountPath: /run/ripstop }
- { name: run-flannel, mountPath: /run/flannel }
- { name: netns, mountPath: /run/netns, mountPropagation: HostToContainer }
- { name: cni-state, mountPath: /var/lib/cni }
- { name: xtables-lock, mountPath: /run/xtables.lock }
{{- end -}}

{{- define "ripstop.hostVolumes" -}}
- { name: run-ripstop, hostPath: { path: /run/ripstop, type: DirectoryOrCreate } }
- { name: run-flannel, hostPath: { path: /run/flannel, type: DirectoryOrCreate } }
- { name: netns, hostPath: { path: /run/netns, type: DirectoryOrCreate } }
- { name: cni-state, hostPath: { path: /var/lib/cni, type: DirectoryOrCreate } }
- { name: xtables-lock, hostPath: { path: /run/xtables.lock, type: FileOrCreate } }
{{- end -}}

{{- define "ripstop.cniVolumes" -}}
- { name: cni-bin, hostPath: { path: {{ .Values.cni.binDir | quote }}, type: DirectoryOrCreate } }
- { name: cni-conf, hostPath: { path: {{ .Values.cni.confDir | quote }}, type: DirectoryOrCreate } }
{{- end -}}

{{/* The nodes of the agent, and the secrets for its image: the same for all pods. */}}
{{- define "ripstop.nodes" -}}
nodeSelector:
  {{- merge (dict "kubernetes.io/os" "linux") .Values.pods.nodeSelector | toYaml | nindent 2 }}
{{- with .Values.pods.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* The same for a DaemonSet. */}}
{{- define "ripstop.everyNode" -}}
{{ include "ripstop.nodes" . }}
{{- with .Values.pods.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Annotations of an object of the uninstall hooks. Argument: its weight, which orders them. */}}
{{- define "ripstop.hook" -}}
helm.sh/hook: post-delete
helm.sh/hook-weight: {{ . | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end -}}
