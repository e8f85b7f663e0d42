// A room with one door for each test: tests share a server, but not their rooms.

import assert from 'node:assert/strict';
import { AssignmentCreateDocument, DpuCreateDocument, SpaceCreateDocument } from '../generated/operations.js';
import { run, unique } from './server.js';

export async function room() {
  const { spaceCreate } = await run(SpaceCreateDocument, { input: { name: unique('Room'), capacity: 10 } });
  assert.deepEqual(spaceCreate.userErrors, []);
  const { dpuCreate } = await run(DpuCreateDocument, { input: { serial: unique('dpu') } });
  assert.deepEqual(dpuCreate.userErrors, []);
  assert.ok(spaceCreate.space && dpuCreate.dpu);
  const [space, dpu] = [spaceCreate.space, dpuCreate.dpu];
  const { assignmentCreate } = await run(AssignmentCreateDocument, {
    input: { dpu: dpu.id, space: space.id, placement: 'INSIDE', doorway: 'Door' },
  });
  assert.deepEqual(assignmentCreate.userErrors, []);
  assert.ok(assignmentCreate.assignment);
  return { space, dpu, assignment: assignmentCreate.assignment };
}
