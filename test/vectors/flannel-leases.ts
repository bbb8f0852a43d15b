/*
 * Leases as flanneld writes them (flannel of August 2026 over etcd 3.4, and on Kubernetes): keys below `subnets/`, their
 * values, and Node annotations. Byte for byte.
 */

/** What flanneld writes to etcd for one subnet. */
export interface FlannelLease {
  readonly backend: 'vxlan' | 'udp' | 'host-gw';
  readonly key: string;
  readonly value: string;
  readonly v4: string | undefined;
  readonly v6: string | undefined;
}

export const FLANNEL_LEASES: readonly FlannelLease[] = [
  {
    backend: 'vxlan',
    key: '10.244.38.0-24',
    value:
      '{"PublicIP":"172.31.9.1","PublicIPv6":null,"BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"56:0b:c4:6d:1f:2e"}}',
    v4: '10.244.38.0/24',
    v6: undefined,
  },
  {
    backend: 'vxlan',
    key: '10.244.38.0-24&fd00:10:244:3f::-64',
    value:
      '{"PublicIP":"172.31.9.1","PublicIPv6":"fd31:9::1","BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"56:0b:c4:6d:1f:2e"},"BackendV6Data":{"VNI":1,"VtepMAC":"ee:61:05:8a:7c:03"}}',
    v4: '10.244.38.0/24',
    v6: 'fd00:10:244:3f::/64',
  },
  {
    // As in the test data of flannel's own pkg/subnet.
    backend: 'host-gw',
    key: '10.12.13.0-24&fd00:12:13::-56',
    value: '{"PublicIP":"172.31.9.3","PublicIPv6":"fd31:9::3","BackendType":"host-gw"}',
    v4: '10.12.13.0/24',
    v6: 'fd00:12:13::/56',
  },
  {
    backend: 'udp',
    key: '10.244.12.0-24',
    value: '{"PublicIP":"172.31.9.1","PublicIPv6":null}',
    v4: '10.244.12.0/24',
    v6: undefined,
  },
];

/** `subnetRegex` of flannel's pkg/subnet/subnet.go: a key that it does not match costs flanneld all its peers. */
export const FLANNEL_KEY = /(\d+\.\d+.\d+.\d+)-(\d+)(?:&([a-f\d:]+)-(\d+))?$/;

/** Annotations of a dual-stack Node under vxlan. */
export const FLANNEL_ANNOTATIONS: Readonly<Record<string, string>> = {
  'flannel.alpha.coreos.com/kube-subnet-manager': 'true',
  'flannel.alpha.coreos.com/backend-type': 'vxlan',
  'flannel.alpha.coreos.com/public-ip': '172.31.9.1',
  'flannel.alpha.coreos.com/backend-data': '{"VNI":1,"VtepMAC":"56:0b:c4:6d:1f:2e"}',
  'flannel.alpha.coreos.com/public-ipv6': 'fd31:9::1',
  'flannel.alpha.coreos.com/backend-v6-data': '{"VNI":1,"VtepMAC":"ee:61:05:8a:7c:03"}',
};
