import { createHash } from 'node:crypto';
import {
  copyFileSync,
  cpSync,
  createReadStream,
  existsSync,
  linkSync,
  mkdirSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { must } from '../../../bench/lab/command.ts';
import { launch } from '../../../bench/lab/proc.ts';
import type { ImageConfig } from './dockerfile.ts';
import { type BuiltImage, mountWords } from './image-build.ts';

/*
 * Images as archives in OCI image layout, with one uncompressed layer, for `ctr images import`.
 */

const MS = 300_000;

/** Packs an image as built. @returns path of the archive, next to the layers of the image */
export async function packImage(image: BuiltImage, name: string, folder: string): Promise<string> {
  const cached = join(dirname(image.layers[0]!), `${image.key}.tar`);
  if (existsSync(cached)) return cached;
  const root = join(folder, 'packed-root');
  mkdirSync(root, { recursive: true });
  const layer = join(folder, 'packed-layer.tar');
  const script = `${mountWords(image.layers, root)} && exec tar --numeric-owner -C ${root} -cf ${layer} .`;
  await launch(['unshare', '--mount', 'sh', '-c', script]).success(MS);
  cpSync(await archive(layer, image.config, name, folder), `${cached}.${process.pid}`);
  renameSync(`${cached}.${process.pid}`, cached);
  return cached;
}

/** The container that holds the namespaces of a pod: one static program that sleeps. */
export async function packPause(name: string, folder: string): Promise<string> {
  const root = join(folder, 'pause-root');
  mkdirSync(root, { recursive: true });
  const source = join(folder, 'pause.c');
  writeFileSync(source, '#include <unistd.h>\nint main(void) {\n  for (;;) pause();\n}\n');
  must(['cc', '-static', '-O1', '-Wall', '-Werror', '-o', join(root, 'pause'), source]);
  const layer = join(folder, 'pause-layer.tar');
  must(['tar', '-C', root, '-cf', layer, '.']);
  const config = { Env: [], Labels: {}, WorkingDir: '/', User: '', Entrypoint: ['/pause'], Cmd: [] };
  return archive(layer, config, name, folder);
}

async function archive(layer: string, config: ImageConfig, name: string, folder: string): Promise<string> {
  const layout = join(folder, `layout-${name.replace(/\W/g, '-')}`);
  const blobs = join(layout, 'blobs/sha256');
  mkdirSync(blobs, { recursive: true });
  const put = async (file: string, mediaType: string) => {
    const digest = createHash('sha256');
    for await (const chunk of createReadStream(file)) digest.update(chunk as Buffer);
    const hash = digest.digest('hex');
    try {
      linkSync(file, join(blobs, hash));
    } catch {
      copyFileSync(file, join(blobs, hash));
    }
    return { mediaType, digest: `sha256:${hash}`, size: statSync(file).size };
  };
  const putJson = async (value: object, what: string, mediaType: string) => {
    const file = join(folder, `${what}.json`);
    writeFileSync(file, JSON.stringify(value));
    const descriptor = await put(file, mediaType);
    rmSync(file);
    return descriptor;
  };
  const type = 'application/vnd.oci.image';
  const packed = await put(layer, `${type}.layer.v1.tar`);
  const architecture = process.arch === 'x64' ? 'amd64' : process.arch;
  const rootfs = { type: 'layers', diff_ids: [packed.digest] };
  const described = { architecture, os: 'linux', config, rootfs };
  const manifest = {
    schemaVersion: 2,
    mediaType: `${type}.manifest.v1+json`,
    config: await putJson(described, 'config', `${type}.config.v1+json`),
    layers: [packed],
  };
  const root = await putJson(manifest, 'manifest', manifest.mediaType);
  const annotations = { 'io.containerd.image.name': name };
  writeFileSync(
    join(layout, 'index.json'),
    JSON.stringify({ schemaVersion: 2, manifests: [{ ...root, annotations }] }),
  );
  writeFileSync(join(layout, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  const file = `${layout}.tar`;
  await launch(['tar', '-C', layout, '-cf', file, '.']).success(MS);
  for (const path of [layout, layer]) rmSync(path, { recursive: true });
  return file;
}
