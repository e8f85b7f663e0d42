// Writes a compressed copy beside each file of the build, so that the server need not compress files for each request.

import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { brotliCompress, constants, gzip } from 'node:zlib';
import type { Plugin } from 'vite';

// The best but one: the best takes ten times as long for some hundredths.
const brotliQuality = { [constants.BROTLI_PARAM_QUALITY]: 9 };

const encodings = {
  br: (content: Buffer) => promisify(brotliCompress)(content, { params: brotliQuality }),
  gz: (content: Buffer) => promisify(gzip)(content, { level: 9 }),
};

async function compress(file: string) {
  const content = await readFile(file);
  for (const [extension, encode] of Object.entries(encodings)) {
    const encoded = await encode(content);
    if (encoded.length < content.length) await writeFile(`${file}.${extension}`, encoded);
  }
}

export function precompress(): Plugin {
  return {
    name: 'precompress',
    apply: 'build',
    writeBundle: {
      order: 'post',
      async handler({ dir = 'dist' }) {
        const entries = await readdir(dir, { recursive: true, withFileTypes: true });
        const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
        await Promise.all(files.map(compress));
      },
    },
  };
}
