import type { NodeEvent } from '../../lease/store.ts';

/** Kubernetes' metav1.Time: seconds. */
export function timestamp(): string {
  return new Date().toISOString().replace(/\.\d+/, '');
}

/** The Event object of a Node. @param uid of the Node; '' while it is unknown */
export function eventObject({ type, reason, message }: NodeEvent, nodeName: string, uid: string): object {
  const now = timestamp();
  return {
    apiVersion: 'v1',
    kind: 'Event',
    metadata: { generateName: `${nodeName}.`, namespace: 'default' },
    // Events of Nodes are in `default`; kubelet and `kubectl describe node` use the name as uid as well.
    involvedObject: { apiVersion: 'v1', kind: 'Node', name: nodeName, uid: uid || nodeName },
    type,
    reason,
    message: message.slice(0, 1024),
    source: { component: 'ripstop', host: nodeName },
    reportingComponent: 'ripstop',
    reportingInstance: nodeName,
    firstTimestamp: now,
    lastTimestamp: now,
    count: 1,
  };
}
