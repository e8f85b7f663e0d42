// Each operation of operations/, with the types generated for it, on a server with the sample loaded.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  AssignmentCreateDocument,
  DpuCreateDocument,
  DpuDocument,
  DpuMoveDocument,
  IngestDocument,
  ResetCreateDocument,
  ResetRuleCreateDocument,
  SpaceCreateDocument,
  SpaceDocument,
  SpacesDocument,
  type EventInput,
  type SpacesQuery,
} from '../generated/operations.js';
import { room } from './floor-plan.js';
import { run, send, unique } from './server.js';

const ts = '2025-03-07T15:34:00Z';

test('spaces with their counts and DPUs, page by page', async () => {
  const found: SpacesQuery['spaces']['edges'][number]['node'][] = [];
  let after: string | null = null;
  for (;;) {
    const { spaces }: SpacesQuery = await run(SpacesDocument, { first: 1, after, ts });
    assert.equal(spaces.edges.length, 1);
    assert.equal(spaces.edges[0]?.cursor, spaces.pageInfo.endCursor);
    found.push(...spaces.edges.map((edge) => edge.node));
    if (!spaces.pageInfo.hasNextPage || found.length === 2) break;
    after = spaces.pageInfo.endCursor ?? null;
  }
  assert.deepEqual(found, [
    {
      id: '1',
      name: 'Room 1',
      capacity: 40,
      count: 11,
      dpus: [
        { serial: '1001', name: 'Door 1' },
        { serial: '1002', name: 'Door 2' },
        { serial: '1003', name: 'Door 3' },
      ],
    },
    { id: '2', name: 'Room 2', capacity: 60, count: found[1]?.count, dpus: [{ serial: '1002', name: 'Door 2' }] },
  ]);
});

test('a space at an instant: its count adds up, and its history agrees', async () => {
  const { space } = await run(SpaceDocument, { id: '1', ts, start: '2025-03-07T00:00:00Z', interval: 'HOUR' });
  assert.ok(space);
  const { countBreakdown: breakdown, history } = space;
  assert.equal(space.name, 'Room 1');
  assert.equal(space.timeZone, 'UTC');
  assert.equal(space.negativeCounts, 'REPORT');
  assert.equal(space.count, 11);
  assert.equal(space.netCount, 11);
  assert.equal(breakdown.ts, ts);
  assert.equal(breakdown.count, 11);
  assert.equal(breakdown.reset, null);
  assert.equal(breakdown.resetRule, null);
  assert.ok(breakdown.assignments.length > 1);
  for (const share of breakdown.assignments) {
    assert.equal(share.net, share.entrances - share.exits);
    assert.equal(share.until, ts);
  }
  const sum = breakdown.assignments.reduce((total, share) => total + share.net, breakdown.startCount);
  assert.equal(sum, breakdown.netCount);

  assert.equal(history.length, 16);
  assert.equal(history[0]?.start, '2025-03-07T00:00:00Z');
  assert.equal(history.at(-1)?.end, ts);
  for (const [index, bucket] of history.entries()) {
    assert.ok(bucket.min <= bucket.average && bucket.average <= bucket.max);
    assert.ok(Math.abs((bucket.utilization ?? 0) * 40 - bucket.average) < 1e-9);
    const before = history[index - 1];
    if (before) {
      assert.equal(bucket.start, before.end);
      assert.equal(bucket.count, before.count + bucket.entrances - bucket.exits);
    }
  }
});

test('an unknown space and an unknown DPU are null', async () => {
  const none = await run(SpaceDocument, { id: '999999', ts, start: '2025-03-07T00:00:00Z', interval: 'DAY' });
  assert.equal(none.space, null);
  assert.equal((await run(DpuDocument, { serial: unique('none') })).dpu, null);
});

test('a DPU by its serial, with its events by page and the last one', async () => {
  const { dpu } = await run(DpuDocument, { serial: '1001', first: 3 });
  assert.ok(dpu);
  assert.equal(dpu.name, 'Door 1');
  assert.equal(dpu.events.nodes.length, 3);
  assert.equal(dpu.events.pageInfo.hasNextPage, true);
  const next = await run(DpuDocument, { serial: '1001', first: 3, after: dpu.events.pageInfo.endCursor });
  const six = [...dpu.events.nodes, ...(next.dpu?.events.nodes ?? [])];
  assert.equal(six.length, 6);
  const instants = six.map((event) => Date.parse(event.ts));
  assert.deepEqual(instants, [...instants].sort((a, b) => a - b));
  const newest = await run(DpuDocument, { serial: '1001', first: 1, newestFirst: true });
  assert.deepEqual(newest.dpu?.events.nodes, [dpu.lastEvent]);
  assert.equal(newest.dpu?.events.totalCount, dpu.events.totalCount);
});

test('ingest: new events, duplicates and rejected events', async () => {
  const { space, dpu } = await room();
  const event = (at: string, direction: EventInput['direction'] = 'TOWARD'): EventInput => ({
    dpu: dpu.serial,
    ts: at,
    direction,
  });
  const events = [event('2025-04-01T09:00:00Z'), event('2025-04-01T11:00:01+02:00'), event('2025-04-01T09:00:00Z')];
  const nobody = { ...event('2025-04-01T09:00:00Z'), dpu: unique('none') };
  const { ingest } = await run(IngestDocument, { events: [...events, nobody] });
  assert.deepEqual([ingest.accepted, ingest.duplicates], [2, 1]);
  assert.deepEqual(
    ingest.rejected.map(({ index, code }) => ({ index, code })),
    [{ index: 3, code: 'UNKNOWN_DPU' }],
  );
  assert.match(ingest.rejected[0]?.message ?? '', /no DPU has the serial/);
  const again = await run(IngestDocument, { events: [event('2025-04-01T09:00:02Z', 'AWAY'), ...events] });
  assert.deepEqual(again.ingest, { accepted: 1, duplicates: 3, rejected: [] });
  const counted = await run(SpaceDocument, {
    id: space.id,
    ts: '2025-04-01T09:00:01Z',
    start: '2025-04-01T00:00:00Z',
    interval: 'DAY',
  });
  assert.equal(counted.space?.count, 2);
});

test('spaces and DPUs are created, or their userErrors say why not', async () => {
  const { space, dpu } = await room();
  assert.deepEqual([space.capacity, space.timeZone, space.negativeCounts, space.count], [10, 'UTC', 'REPORT', 0]);
  assert.deepEqual([dpu.name, dpu.lastEvent], [null, null]);

  const taken = await run(SpaceCreateDocument, { input: { name: space.name } });
  assert.equal(taken.spaceCreate.space, null);
  assert.deepEqual(
    taken.spaceCreate.userErrors.map(({ code, field }) => ({ code, field })),
    [{ code: 'TAKEN', field: ['input', 'name'] }],
  );
  const blank = await run(DpuCreateDocument, { input: { serial: ' ' } });
  assert.equal(blank.dpuCreate.dpu, null);
  assert.deepEqual(
    blank.dpuCreate.userErrors.map(({ code, field }) => ({ code, field })),
    [{ code: 'BLANK', field: ['input', 'serial'] }],
  );
});

test('an assignment is created once, and the DPU is moved', async () => {
  const [from, to] = [await room(), await room()];
  assert.deepEqual(
    [from.assignment.placement, from.assignment.doorway, from.assignment.startsAt, from.assignment.endsAt],
    ['INSIDE', 'Door', null, null],
  );
  assert.equal(from.assignment.dpu.serial, from.dpu.serial);
  assert.equal(from.assignment.space.name, from.space.name);

  const twice = await run(AssignmentCreateDocument, {
    input: { dpu: from.dpu.id, space: from.space.id, placement: 'OUTSIDE' },
  });
  assert.equal(twice.assignmentCreate.assignment, null);
  assert.deepEqual(twice.assignmentCreate.userErrors.map(({ code }) => code), ['OVERLAP']);

  const at = '2025-02-01T00:00:00Z';
  const { dpuMove } = await run(DpuMoveDocument, {
    input: { dpu: from.dpu.id, at, to: [{ space: to.space.id, placement: 'OUTSIDE' }] },
  });
  assert.deepEqual(dpuMove.userErrors, []);
  assert.deepEqual(dpuMove.assignments, [{ placement: 'OUTSIDE', startsAt: at, space: { id: to.space.id } }]);
  assert.deepEqual(dpuMove.dpu?.assignments.nodes, [
    { startsAt: null, endsAt: at, space: { id: from.space.id } },
    { startsAt: at, endsAt: null, space: { id: to.space.id } },
  ]);
  const nowhere = await run(DpuMoveDocument, {
    input: { dpu: from.dpu.id, at: '2025-03-01T00:00:00Z', to: [{ space: '999999', placement: 'INSIDE' }] },
  });
  assert.equal(nowhere.dpuMove.dpu, null);
  assert.deepEqual(nowhere.dpuMove.userErrors.map(({ code }) => code), ['NOT_FOUND']);
});

test('resets and reset rules state counts', async () => {
  const { space } = await room();
  const at = '2025-05-01T12:00:00Z';
  const { resetCreate } = await run(ResetCreateDocument, {
    input: { space: space.id, ts: at, count: 4, note: 'counted by hand' },
  });
  assert.deepEqual(resetCreate.userErrors, []);
  assert.deepEqual(
    { ...resetCreate.reset, id: undefined },
    { id: undefined, ts: at, count: 4, note: 'counted by hand', space: { id: space.id } },
  );
  const negative = await run(ResetCreateDocument, { input: { space: space.id, ts: at, count: -1 } });
  assert.equal(negative.resetCreate.reset, null);
  assert.ok(negative.resetCreate.userErrors.some(({ code }) => code === 'OUT_OF_RANGE'));

  const { resetRuleCreate } = await run(ResetRuleCreateDocument, {
    input: { space: space.id, timeOfDay: '04:00', firstDay: '2025-05-02' },
  });
  assert.deepEqual(resetRuleCreate.userErrors, []);
  assert.deepEqual(
    { ...resetRuleCreate.resetRule, id: undefined },
    { id: undefined, timeOfDay: '04:00:00', count: 0, firstDay: '2025-05-02', lastDay: null, space: { id: space.id } },
  );
  const nowhere = await run(ResetRuleCreateDocument, {
    input: { space: '999999', timeOfDay: '04:00', firstDay: '2025-05-02' },
  });
  assert.equal(nowhere.resetRuleCreate.resetRule, null);
  assert.deepEqual(nowhere.resetRuleCreate.userErrors.map(({ code }) => code), ['NOT_FOUND']);

  const window = { id: space.id, start: '2025-05-01T00:00:00Z', interval: 'DAY' as const };
  const [before, after] = [
    await run(SpaceDocument, { ...window, ts: '2025-05-01T13:00:00Z' }),
    await run(SpaceDocument, { ...window, ts: '2025-05-02T04:00:00Z' }),
  ];
  assert.deepEqual(before.space?.countBreakdown.reset, { id: resetCreate.reset?.id, count: 4 });
  assert.equal(before.space?.count, 4);
  assert.equal(after.space?.countBreakdown.resetRule?.id, resetRuleCreate.resetRule?.id);
  assert.equal(after.space?.count, 0);
});

test('an error has a code and names the accepted values', async () => {
  const { errors } = await send(SpacesDocument, { first: 501 });
  assert.equal(errors?.[0]?.extensions?.code, 'TOO_COMPLEX');
  assert.match(errors[0].message, /0 to 500/);
});
