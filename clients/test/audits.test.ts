// The GraphQL-over-HTTP audits of graphql-http: requirements and recommendations alike.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { serverAudits } from 'graphql-http';
import { url } from './server.js';

test('GraphQL over HTTP: every audit passes', async (context) => {
  const audits = serverAudits({ url, fetchFn: fetch });
  const failed: string[] = [];
  for (const audit of audits) {
    const result = await audit.fn();
    if (result.status === 'ok') continue;
    failed.push(`${result.status} ${audit.id} ${audit.name}: ${result.reason} (answered ${result.response.status})`);
  }
  context.diagnostic(`${audits.length - failed.length} of ${audits.length} audits pass`);
  assert.ok(audits.length > 50);
  assert.deepEqual(failed, []);
});
