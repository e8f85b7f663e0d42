// Writes generated/operations.ts: the types of ../schema.graphql that operations/*.graphql use, and a typed
// document for each operation in them.

import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { codegen } from '@graphql-codegen/core';
import * as typedDocumentNode from '@graphql-codegen/typed-document-node';
import * as typescript from '@graphql-codegen/typescript';
import * as typescriptOperations from '@graphql-codegen/typescript-operations';
import { buildSchema, parse, printSchema, validate } from 'graphql';

const here = (path: string) => new URL(path, import.meta.url);

const schema = buildSchema(await readFile(here('../schema.graphql'), 'utf8'));
const names = (await readdir(here('operations'))).filter((name) => name.endsWith('.graphql')).sort();
const documents = await Promise.all(
  names.map(async (location) => ({ location, document: parse(await readFile(here(`operations/${location}`), 'utf8')) })),
);
const errors = documents.flatMap(({ location, document }) =>
  validate(schema, document).map((error) => `operations/${location}: ${error.message}`),
);
if (errors.length > 0) {
  console.error(errors.join('\n'));
  process.exit(1);
}

const scalar = (type: string) => ({ input: type, output: type });
const text = await codegen({
  filename: 'generated/operations.ts',
  schema: parse(printSchema(schema)),
  schemaAst: schema,
  documents,
  config: {
    enumsAsTypes: true,
    onlyOperationTypes: true,
    skipTypename: true,
    strictScalars: true,
    useTypeImports: true,
    scalars: {
      ID: scalar('string'),
      DateTime: scalar('string'),
      LocalDate: scalar('string'),
      LocalTime: scalar('string'),
    },
  },
  plugins: [{ typescript: {} }, { typescriptOperations: {} }, { typedDocumentNode: {} }],
  pluginMap: { typescript, typescriptOperations, typedDocumentNode },
});
await mkdir(here('generated'), { recursive: true });
await writeFile(here('generated/operations.ts'), text);
