// Writes generated/operations.ts: a typed document for each operation in src/operations/*.graphql, with the
// types of ../schema.graphql that it uses.

import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { codegen } from '@graphql-codegen/core';
import * as typedDocumentNode from '@graphql-codegen/typed-document-node';
import * as typescript from '@graphql-codegen/typescript';
import * as typescriptOperations from '@graphql-codegen/typescript-operations';
import { buildSchema, parse, printSchema } from 'graphql';

const here = (path) => new URL(path, import.meta.url);
const read = (path) => readFile(here(path), 'utf8');

const schema = buildSchema(await read('../schema.graphql'));
const names = (await readdir(here('src/operations'))).sort();
const documents = await Promise.all(
  names.map(async (location) => ({ location, document: parse(await read(`src/operations/${location}`)) })),
);
const string = { input: 'string', output: 'string' };

// Refuses operations that do not fit the schema.
const text = await codegen({
  filename: 'operations.ts',
  schema: parse(printSchema(schema)),
  schemaAst: schema,
  documents,
  config: {
    enumsAsTypes: true,
    onlyOperationTypes: true,
    optimizeDocumentNode: true,
    scalars: { ID: string, DateTime: string, LocalDate: string, LocalTime: string },
    skipTypename: true,
    strictScalars: true,
    useTypeImports: true,
  },
  plugins: [{ typescript: {} }, { typescriptOperations: {} }, { typedDocumentNode: {} }],
  pluginMap: { typescript, typescriptOperations, typedDocumentNode },
});
await mkdir(here('generated'), { recursive: true });
await writeFile(here('generated/operations.ts'), text);
