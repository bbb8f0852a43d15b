import { createHash } from 'node:crypto';

/*
 * What `npm install` of the package brings to a machine: few packages, none of which downloads or compiles anything while it is
 * installed. Those that do are optional peers, which npm does not install by itself.
 */

/** Packages at most, dependencies of dependencies included. */
export const PACKAGES_MAX = 60;

/** Packages that the user may add. Each compiles an addon of its own or downloads one. */
export const OPTIONAL_PEERS = ['@xiaobaidadada/node-tuntap2-wintun', 'raw-socket'];

/**
 * Install scripts that were read and found to do neither, by the SHA-256 of their text. Another text has to be read again.
 * protobufjs 7 comes with @grpc/proto-loader; it prints a warning about version ranges. Version 8 has no such script.
 */
const HARMLESS: Readonly<Record<string, { readonly file: string; readonly sha256: string }>> = {
  protobufjs: {
    file: 'scripts/postinstall.js',
    sha256: '5af8463b97ee8e309b4a2111f9479bacdf0c180de0ca0155527679b1fc6d9e6c',
  },
};

interface LockEntry {
  readonly dev?: boolean;
  readonly hasInstallScript?: boolean;
}

/** The part of package-lock.json that counts. */
export interface LockFile {
  readonly packages: Readonly<Record<string, LockEntry>>;
}

/** Paths of the packages that are installed with `--omit=dev`, optional ones included. */
export function productionPackages({ packages }: LockFile): string[] {
  return Object.entries(packages).flatMap(([path, { dev }]) => (path === '' || dev ? [] : [path]));
}

/**
 * What contradicts the rules, one line each.
 * @param read the text of an installed file by its path; undefined when there is none
 */
export function closureFaults(lock: LockFile, read: (path: string) => string | undefined): string[] {
  const paths = productionPackages(lock);
  const faults: string[] = [];
  if (paths.length > PACKAGES_MAX) faults.push(`${paths.length} packages, ${PACKAGES_MAX} at most`);
  for (const path of paths) {
    const name = path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length);
    if (read(`${path}/binding.gyp`) !== undefined)
      faults.push(`${name} has a binding.gyp, so that npm compiles it`);
    const { scripts = {} } = JSON.parse(read(`${path}/package.json`) ?? '{}') as { scripts?: object };
    const hooks = ['preinstall', 'install', 'postinstall'].filter(hook => hook in scripts);
    if (!lock.packages[path]?.hasInstallScript && hooks.length === 0) continue;
    const harmless = HARMLESS[name];
    const text = harmless && read(`${path}/${harmless.file}`);
    if (text === undefined || createHash('sha256').update(text).digest('hex') !== harmless?.sha256)
      faults.push(`${name} has an install script (${hooks.join(', ') || 'by its lock file entry'})`);
  }
  for (const name of Object.keys(HARMLESS))
    if (!paths.some(path => path.endsWith(`node_modules/${name}`) && lock.packages[path]?.hasInstallScript))
      faults.push(`${name} no longer has an install script: remove it from the list of harmless ones`);
  return faults;
}

/** The part of package.json that counts. */
export interface Manifest {
  readonly dependencies: Readonly<Record<string, string>>;
  readonly devDependencies: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
  readonly peerDependencies?: Readonly<Record<string, string>>;
  readonly peerDependenciesMeta?: Readonly<Record<string, { readonly optional?: boolean }>>;
}

/** What is wrong with the optional peers: here they are development dependencies, for the tests and the bench. */
export function peerFaults(manifest: Manifest): string[] {
  const { dependencies, devDependencies, optionalDependencies = {} } = manifest;
  const { peerDependencies = {}, peerDependenciesMeta = {} } = manifest;
  const faults = Object.keys(peerDependencies).filter(name => !peerDependenciesMeta[name]?.optional);
  return [
    ...faults.map(name => `${name} is a peer dependency that npm installs by itself`),
    ...Object.keys(optionalDependencies).map(name => `${name} is optional, and npm installs it by default`),
    ...OPTIONAL_PEERS.flatMap(name => {
      if (name in dependencies) return [`${name} is a dependency`];
      const range = peerDependencies[name];
      if (range === undefined) return [`${name} is not a peer dependency`];
      return devDependencies[name] === range ? [] : [`${name} is tested in another range than ${range}`];
    }),
  ];
}
